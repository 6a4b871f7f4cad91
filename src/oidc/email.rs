//! Whose word an email is. An address finds a seat that a directory made, so it counts only where the
//! provider says that the person holds it, or where nobody but an administrator can have written it.
//! What a provider says no to never counts. OIDC Core 5.1, 5.7.

use crate::strict::{Claims, wrong};
use model::Refusal;
use openidconnect::url::Url;
use serde_json::Value;

/// RFC 5321 4.5.3.1.3: a path is at most 256 octets, its angle brackets included.
const EMAIL_BYTES_MAX: usize = 254;

/// Entra in all its clouds and trades: any tenant may write any `email`, so only `xms_edov` counts (nOAuth).
const ENTRA: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.microsoftonline.de",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "sts.chinacloudapi.cn",
    "ciamlogin.com",
    "b2clogin.com",
];
/// Okta leaves `email_verified` out of the ID token of a code flow; its people do not write their address
/// without proving it.
const OKTA: &[&str] = &["okta.com", "oktapreview.com", "okta-emea.com", "okta-gov.com", "okta.mil"];
/// One issuer for the whole world: an address counts only of an account that a company runs (`hd`).
const GOOGLE: &[&str] = &["accounts.google.com"];

fn is_at(issuer: &str, hosts: &[&str]) -> bool {
    let Ok(url) = Url::parse(issuer) else { return false };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    hosts.iter().any(|known| {
        host.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// The email claim, if it counts. `trusted`: this connection says that an address without a word about
/// its verification is verified.
pub(crate) fn vouched(claims: &Claims, issuer: &str, trusted: bool) -> Result<Option<String>, Refusal> {
    let verified = claims.maybe_bool("email_verified")?;
    let owned = match claims.0.get("xms_edov") {
        None => None,
        Some(Value::Bool(owned)) => Some(*owned),
        Some(Value::String(text)) => Some(text == "1" || text == "true"),
        Some(Value::Number(number)) => Some(number.as_u64() == Some(1)),
        Some(_) => return Err(wrong("xms_edov")),
    };
    let email = claims.maybe_text("email", EMAIL_BYTES_MAX)?;
    if email.as_ref().is_some_and(|email| email.chars().any(char::is_control)) {
        return Err(wrong("email"));
    }
    let hosted = claims.maybe_text("hd", EMAIL_BYTES_MAX)?.is_some();
    let counts = match (verified, owned) {
        (Some(false), _) | (_, Some(false)) => false,
        (_, Some(true)) => true,
        _ if is_at(issuer, ENTRA) => false,
        (Some(true), None) => hosted || !is_at(issuer, GOOGLE),
        (None, None) => trusted || is_at(issuer, OKTA),
    };
    Ok(email.filter(|_| counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn counts_at(issuer: &str, more: Value, trusted: bool) -> bool {
        let mut claims = json!({"email": "ada@acme.example"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vouched(&Claims(claims.as_object().unwrap().clone()), issuer, trusted).unwrap().is_some()
    }

    #[test]
    fn an_address_counts_where_the_provider_says_so_or_the_connection_trusts_it() {
        let plain = "https://idp.example/t/1";
        for (claims, untrusting, trusting) in [
            (json!({}), false, true),
            (json!({"email_verified": true}), true, true),
            (json!({"email_verified": false}), false, false),
            (json!({"xms_edov": true}), true, true),
            (json!({"xms_edov": "1"}), true, true),
            (json!({"xms_edov": 1}), true, true),
            (json!({"xms_edov": false, "email_verified": true}), false, false),
            (json!({"xms_edov": true, "email_verified": false}), false, false),
        ] {
            assert_eq!(counts_at(plain, claims.clone(), false), untrusting, "{claims}");
            assert_eq!(counts_at(plain, claims.clone(), true), trusting, "{claims}");
        }
    }

    #[test]
    fn at_entra_only_what_the_domains_owner_verified_counts_whatever_the_connection_trusts() {
        for issuer in [
            "https://login.microsoftonline.com/t/v2.0",
            "https://login.microsoftonline.us/t/v2.0",
            "https://login.partner.microsoftonline.cn/t/v2.0",
            "https://sts.windows.net/t/",
            "https://acme.ciamlogin.com/t/v2.0",
            "https://acme.b2clogin.com/t/v2.0/",
            "https://LOGIN.microsoftonline.com/t/v2.0",
            "https://login.microsoftonline.com./t/v2.0",
        ] {
            assert!(!counts_at(issuer, json!({}), true), "{issuer}");
            assert!(!counts_at(issuer, json!({"email_verified": true}), true), "{issuer}");
            assert!(counts_at(issuer, json!({"xms_edov": true}), false), "{issuer}");
        }
        assert!(counts_at("https://notlogin.microsoftonline.com.example/", json!({}), true));
    }

    #[test]
    fn okta_needs_no_word_and_google_a_company() {
        assert!(counts_at("https://acme.okta.com", json!({}), false));
        assert!(counts_at("https://acme.okta.com/oauth2/default", json!({}), false));
        assert!(!counts_at("https://acme.okta.com", json!({"email_verified": false}), false));
        assert!(!counts_at("https://acmeokta.com", json!({}), false), "a suffix is not a label");
        assert!(!counts_at("https://acme.okta.com.evil.example", json!({}), false));
        let google = "https://accounts.google.com";
        assert!(!counts_at(google, json!({"email_verified": true}), false), "anybody's account");
        assert!(counts_at(google, json!({"email_verified": true, "hd": "acme.example"}), false));
    }

    #[test]
    fn an_address_is_no_longer_than_one_can_be_and_has_no_control_characters() {
        let read = |email: String| {
            let claims = json!({"email": email, "email_verified": true});
            vouched(&Claims(claims.as_object().unwrap().clone()), "https://idp.example", false)
                .map(|email| email.is_some())
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(read("a".repeat(EMAIL_BYTES_MAX)), Ok(true));
        assert_eq!(read("a".repeat(EMAIL_BYTES_MAX + 1)), Err("oidc.claim"));
        assert_eq!(read("a\nb@acme.example".to_owned()), Err("oidc.claim"));
    }
}
