//! What every story of administration shares: pages, the bounds of a name, the catalogues of roles
//! and key scopes, and who may say what. A wrong input is refused by field and stable code.

use crate::{FlowError, Gateway};
use model::{
    Refusal,
    ids::{Id, Kind},
    quota::HELD_MAX,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use store::{AdminKind, Administrator, OrgScope};
use url::{Host, Url};

/// A field that may be taken away: left out it is `None`, and null is `Some(None)`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// One page of a list: what comes after an id, in order of birth.
#[derive(Clone, Copy, Debug)]
pub struct Page<K: Kind> {
    pub after: Option<Id<K>>,
    /// At most 200, by the contract.
    pub limit: usize,
}

impl<K: Kind> Page<K> {
    /// One row more than is shown says whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(200).saturating_add(1)
    }
    /// A page of a list that is read whole, because an org has at most `HELD_MAX` of them.
    pub fn of<T>(&self, items: Vec<T>, id: impl Fn(&T) -> Id<K>) -> Vec<T> {
        let later = items.into_iter().filter(|item| self.after.is_none_or(|after| id(item) > after));
        later.take(self.limit.saturating_add(1)).collect()
    }
}

const NAME_CHARS_MAX: usize = 200;
const SLUG_CHARS_MAX: usize = 63;
const URL_CHARS_MAX: usize = 2_048;

/// For one credential more of a directory, which no plan counts.
pub(crate) fn room(held: usize) -> Result<(), FlowError> {
    if i64::try_from(held).is_ok_and(|held| held < HELD_MAX) {
        Ok(())
    } else {
        Err(FlowError::conflict("api.too_many", format!("a directory holds at most {HELD_MAX} of these")))
    }
}

/// A role, and what the apps may read out of it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Role {
    pub name: &'static str,
    pub description: &'static str,
    pub permissions: &'static [&'static str],
}

/// The catalogue: these roles and no others stand in `roles` of a token.
pub const ROLES: &[Role] = &[
    Role {
        name: "owner",
        description: "Everything, including the org's end and its billing.",
        permissions: &[
            "org:read",
            "org:write",
            "org:delete",
            "billing:write",
            "members:read",
            "members:write",
        ],
    },
    Role {
        name: "admin",
        description: "The org's settings and people.",
        permissions: &["org:read", "org:write", "members:read", "members:write"],
    },
    Role { name: "member", description: "Works in the org.", permissions: &["org:read", "members:read"] },
    Role { name: "viewer", description: "Looks, and changes nothing.", permissions: &["org:read"] },
];

/// How a word of a catalogue is described.
pub(crate) fn one_of(words: impl Iterator<Item = &'static str>) -> serde_json::Value {
    json!({"type": "string", "enum": words.collect::<Vec<_>>()})
}

pub(crate) fn known_roles(roles: &[String]) -> Result<(), FlowError> {
    match roles.iter().find(|role| !ROLES.iter().any(|known| known.name == role.as_str())) {
        None => Ok(()),
        Some(role) => Err(FlowError::invalid(
            "role.unknown",
            "roles",
            format!("{role:.40} is not in GET /api/v1/roles"),
        )),
    }
}

/// What an org key may be good for. `*` is all of them.
pub const KEY_SCOPES: &[&str] = &[
    "*",
    "org:read",
    "org:write",
    "domains:read",
    "domains:write",
    "connections:read",
    "connections:write",
    "directories:read",
    "directories:write",
    "users:read",
    "users:write",
    "teams:read",
    "teams:write",
    "sessions:write",
    "service_accounts:read",
    "service_accounts:write",
    "keys:read",
    "keys:write",
    "audit:read",
    "usage:read",
    "webhooks:read",
    "webhooks:write",
];

/// Some things are the operator's, whatever an org key's scopes.
pub(crate) fn platform_only(scope: &OrgScope<Administrator>) -> Result<(), FlowError> {
    match scope.door().kind {
        AdminKind::Platform => Ok(()),
        AdminKind::Org => Err(Refusal::proven("api.scope_missing").with("needed", "a platform key").into()),
    }
}

/// How what is asked here is described: ECMA 262, as JSON Schema has it. None is wider than its check.
/// Something that can be seen, and no control character: `name_of`.
pub(crate) const PRINTABLE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
pub(crate) const SLUG: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
pub(crate) const DNS_NAME: &str =
    r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";
/// Absolute; what else `web_url` asks, a pattern does not say.
pub(crate) const WEB_URL: &str = r"^https?://[!$-)+-;=?-\[\]-~]+$";

/// An org key hands on no more than it holds. Errors: `api.scope_missing`, with the first that it lacks.
pub(crate) fn holds_all<'a>(
    door: &Administrator,
    wanted: impl IntoIterator<Item = &'a str>,
) -> Result<(), FlowError> {
    let lacks = |wanted: &&str| !door.scopes.iter().any(|held| held == "*" || held == wanted);
    match (door.kind, wanted.into_iter().find(lacks)) {
        (AdminKind::Platform, _) | (AdminKind::Org, None) => Ok(()),
        (AdminKind::Org, Some(lacking)) => {
            Err(Refusal::proven("api.scope_missing").with("needed", lacking).into())
        }
    }
}

/// A name as people write one: 1 to 200 characters, none of them a control character.
pub fn name_of(field: &'static str, text: &str) -> Result<String, FlowError> {
    let text = text.trim();
    let count = text.chars().count();
    if count == 0 || count > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        let right = format!("1 to {NAME_CHARS_MAX} characters, no control characters");
        return Err(FlowError::invalid("api.name_malformed", field, right));
    }
    Ok(text.to_owned())
}

/// A slug cannot be taken for an id: it has no underscore.
pub(crate) fn slug_of(text: &str) -> Result<(), FlowError> {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let ends = [text.bytes().next(), text.bytes().last()].iter().all(|b| b.is_some_and(|b| b != b'-'));
    if letters && ends && text.len() <= SLUG_CHARS_MAX {
        return Ok(());
    }
    let right = format!("1 to {SLUG_CHARS_MAX} of a-z, 0-9 and -, no - at either end");
    Err(FlowError::invalid("api.slug_malformed", "slug", right))
}

/// A DNS name of two labels at least, lower-cased, without the final dot. No address is one.
pub(crate) fn dns_name_of(field: &'static str, text: &str) -> Result<String, FlowError> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let label = |l: &str| {
        let bytes = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&l.len()) && l.bytes().all(bytes) && !l.starts_with('-') && !l.ends_with('-')
    };
    let top_is_name = name.rsplit('.').next().is_some_and(|top| top.bytes().any(|b| b.is_ascii_lowercase()));
    if name.len() <= 253 && name.contains('.') && top_is_name && name.split('.').all(label) {
        return Ok(name);
    }
    Err(FlowError::invalid("api.dns_name_malformed", field, "a DNS name such as example.com"))
}

/// May plain http be spoken to loopback?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loopback {
    Allowed,
    Refused,
}

/// An absolute https URL, or http to loopback: no fragment, no user info, no wildcard, as it stands.
pub(crate) fn web_url(field: &'static str, text: &str, loopback: Loopback) -> Result<(), FlowError> {
    let refuse = |right: &str| Err(FlowError::invalid("api.url_refused", field, right));
    // Beyond ASCII it is no URI (RFC 3986 2), and no `Location` takes it.
    let clean = |c: char| c.is_ascii_graphic() && !"*\\\"<>".contains(c);
    if text.len() > URL_CHARS_MAX || !text.chars().all(clean) {
        return refuse("a URL in ASCII, without spaces, wildcards or quotes, of at most 2048 bytes");
    }
    let Ok(url) = Url::parse(text) else { return refuse("an absolute URL") };
    let near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return refuse("an absolute URL with a host"),
    };
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return refuse("a URL without fragment and user info");
    }
    match (url.scheme(), near, loopback) {
        ("https", _, _) | ("http", true, Loopback::Allowed) => Ok(()),
        _ => refuse("an https URL; http only to loopback, where that is allowed"),
    }
}

/// One of those that we call ourselves: the egress guard has a word to say, too.
pub(crate) fn called_url(gw: &Gateway, field: &'static str, url: &str) -> Result<(), FlowError> {
    web_url(field, url, Loopback::Allowed)?;
    gw.outbound.may_call(url).map_err(|fault| FlowError::invalid("api.url_refused", field, fault.why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::TeamId;

    #[test]
    fn a_url_is_https_or_loopback_and_bare() {
        let ok = |text, loopback| web_url("url", text, loopback).is_ok();
        assert!(ok("https://app.example.com/cb?x=1", Loopback::Refused));
        for near in ["http://localhost:3000/cb", "http://127.0.0.1/cb", "http://[::1]:9/cb"] {
            assert!(ok(near, Loopback::Allowed), "{near}");
            assert!(!ok(near, Loopback::Refused), "{near}");
        }
        for bad in [
            "http://app.example.com/cb",
            "https://app.example.com/cb#x",
            "https://app.example.com/cb#",
            "https://me@app.example.com/cb",
            "https://me:pw@app.example.com/cb",
            "https://*.example.com/cb",
            "javascript:alert(1)",
            "/cb",
            "https://",
            "https://a.example/ b",
            "https://ä.example/cb",
            "https://a.example/ä",
            "http://localhost.evil.example/cb",
            "myapp://cb",
        ] {
            assert!(!ok(bad, Loopback::Allowed), "{bad}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_CHARS_MAX - 18));
        assert!(ok(&long, Loopback::Refused));
        assert!(!ok(&format!("{long}x"), Loopback::Refused));
    }

    #[test]
    fn names_slugs_and_domains_are_held_to_their_form() {
        assert!(slug_of("acme-2").is_ok());
        for bad in ["", "-a", "a-", "Acme", "a_b", "a.b", &"a".repeat(64)] {
            assert!(slug_of(bad).is_err(), "{bad}");
        }
        assert_eq!(dns_name_of("name", " Example.COM. ").unwrap(), "example.com");
        for bad in ["example", "127.0.0.1", "a..b", "-a.com", "a_b.com", "*.example.com", "exämple.com", ""]
        {
            assert!(dns_name_of("name", bad).is_err(), "{bad}");
        }
        assert!(name_of("name", &"ä".repeat(NAME_CHARS_MAX)).is_ok());
        for bad in ["", "  ", "a\nb", &"a".repeat(NAME_CHARS_MAX + 1)] {
            assert!(name_of("name", bad).is_err());
        }
    }

    #[test]
    fn roles_come_from_the_catalogue_and_an_org_holds_a_bounded_number() {
        assert!(known_roles(&["admin".to_owned(), "viewer".to_owned()]).is_ok());
        assert_eq!(known_roles(&["root".to_owned()]).unwrap_err().code(), "role.unknown");
        assert!(room(199).is_ok());
        assert_eq!(room(200).unwrap_err().code(), "api.too_many");
    }

    #[test]
    fn a_page_goes_on_after_its_id_and_shows_that_there_is_more() {
        let id = |n: u128| TeamId::from_uuid(uuid::Uuid::from_u128(n));
        let all: Vec<TeamId> = (1..=5).map(id).collect();
        let page = Page { after: Some(id(2)), limit: 2 };
        assert_eq!(page.of(all.clone(), |t| *t), vec![id(3), id(4), id(5)], "one more than shown");
        assert_eq!(Page { after: None, limit: 9 }.of(all, |t| *t).len(), 5);
        assert_eq!(page.rows(), 3);
    }
}
