//! Ending: the logout token that tells an app of an end (OpenID Connect Back-Channel Logout 1.0, 2.4), and
//! the ID token that an app shows when its person leaves (RP-Initiated Logout 1.0, 2).

use crate::{
    access::verified_payload,
    claims::wrong,
    key_ring::KeyRing,
    mint::sign,
    signing_key::{KeyFault, SigningKey},
};
use model::{
    Refusal, Timestamp,
    ids::{AppId, OrgId, SessionId, UserId},
};
use serde_json::{Map, json};

/// The member of `events` that makes a logout token one.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A logout token is made for each attempt; two minutes is the most that the text recommends.
const LIFETIME_SECS: i64 = 120;

/// Whose end an app is told of.
#[derive(Clone, Debug)]
pub struct LogoutClaims<'a> {
    pub issuer: &'a str,
    pub client_id: AppId,
    pub user: UserId,
    pub session: SessionId,
    pub jti: &'a str,
}

/// A signed logout token: `typ: logout+jwt`, with `sub` and `sid`, and never a `nonce`.
pub fn mint_logout(claims: &LogoutClaims<'_>, key: &SigningKey, now: Timestamp) -> Result<String, KeyFault> {
    let said = Map::from_iter([
        ("iss".to_owned(), json!(claims.issuer)),
        ("aud".to_owned(), json!(claims.client_id)),
        ("sub".to_owned(), json!(claims.user)),
        ("sid".to_owned(), json!(claims.session)),
        ("iat".to_owned(), json!(now.secs())),
        ("exp".to_owned(), json!(now.plus_secs(LIFETIME_SECS).secs())),
        ("jti".to_owned(), json!(claims.jti)),
        ("events".to_owned(), json!({EVENT: {}})),
    ]);
    sign("logout+jwt", &said, key)
}

/// What an `id_token_hint` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    pub client_id: AppId,
    pub org: OrgId,
    pub user: UserId,
    pub session: SessionId,
}

/// Reads an ID token of ours, an expired one too: it proves which session the app means, and opens nothing.
///
/// # Errors
/// Those of `access::verify`, but for `token.expired`.
pub fn read_hint(jwt: &str, ring: &KeyRing, issuer: &str) -> Result<Hint, Refusal> {
    let claims = verified_payload(jwt, "JWT", ring)?;
    if claims.text("iss")? != issuer {
        return Err(Refusal::proven("token.issuer"));
    }
    let (audience, client_id): (AppId, AppId) = (claims.id("aud")?, claims.id("client_id")?);
    if audience != client_id {
        return Err(wrong("aud"));
    }
    Ok(Hint { client_id, org: claims.id("org_id")?, user: claims.id("sub")?, session: claims.id("sid")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access,
        text::{decode, encode},
    };
    use model::SigningAlg;
    use serde_json::Value;
    use uuid::Uuid;

    const ISSUER: &str = "https://id.example";

    fn ring() -> KeyRing {
        KeyRing::new(vec![SigningKey::generate(SigningAlg::Es256).unwrap()], Vec::new())
    }

    fn signer(ring: &KeyRing) -> &SigningKey {
        ring.signer(SigningAlg::Es256).unwrap()
    }

    fn ids() -> (AppId, OrgId, UserId, SessionId) {
        let id = Uuid::from_u128(7);
        (AppId::from_uuid(id), OrgId::from_uuid(id), UserId::from_uuid(id), SessionId::from_uuid(id))
    }

    fn part(jwt: &str, at: usize) -> Value {
        serde_json::from_slice(&decode(jwt.split('.').nth(at).unwrap()).unwrap()).unwrap()
    }

    fn hint(ring: &KeyRing, typ: &str, change: impl Fn(&mut Map<String, Value>)) -> String {
        let (app, org, user, session) = ids();
        let mut said = Map::from_iter([
            ("iss".to_owned(), json!(ISSUER)),
            ("aud".to_owned(), json!(app)),
            ("client_id".to_owned(), json!(app)),
            ("org_id".to_owned(), json!(org)),
            ("sub".to_owned(), json!(user)),
            ("sid".to_owned(), json!(session)),
            ("exp".to_owned(), json!(1)),
        ]);
        change(&mut said);
        sign(typ, &said, signer(ring)).unwrap()
    }

    #[test]
    fn a_logout_token_says_what_it_must_and_is_good_for_nothing_else() {
        let ring = ring();
        let (app, _, user, session) = ids();
        let claims = LogoutClaims { issuer: ISSUER, client_id: app, user, session, jti: "j" };
        let now = Timestamp::from_secs(1_800_000_000);
        let jwt = mint_logout(&claims, signer(&ring), now).unwrap();
        let (header, said) = (part(&jwt, 0), part(&jwt, 1));
        assert_eq!((&header["typ"], &header["alg"]), (&json!("logout+jwt"), &json!("ES256")));
        assert_eq!(said["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
        assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 120);
        assert!(said.get("nonce").is_none());
        assert!(access::verify(&jwt, &ring, ISSUER, now).is_err());
        assert!(read_hint(&jwt, &ring, ISSUER).is_err());
    }

    #[test]
    fn a_hint_may_have_expired_and_nothing_else_about_it_may_be_wrong() {
        let ring = ring();
        let (client_id, org, user, session) = ids();
        let good = hint(&ring, "JWT", |_| {});
        assert_eq!(read_hint(&good, &ring, ISSUER), Ok(Hint { client_id, org, user, session }));
        let code = |jwt: &str, issuer: &str| read_hint(jwt, &ring, issuer).unwrap_err().code;
        assert_eq!(code(&good, "https://other.example"), "token.issuer");
        assert_eq!(code(&hint(&ring, "at+jwt", |_| {}), ISSUER), "token.header");
        let other = AppId::from_uuid(Uuid::from_u128(8));
        let foreign = hint(&ring, "JWT", |said| drop(said.insert("aud".into(), json!(other))));
        assert_eq!(code(&foreign, ISSUER), "token.claim");
        let listed = hint(&ring, "JWT", |said| drop(said.insert("aud".into(), json!([client_id]))));
        assert_eq!(code(&listed, ISSUER), "token.claim");
        let stranger = KeyRing::new(vec![SigningKey::generate(SigningAlg::Es256).unwrap()], Vec::new());
        assert_eq!(code(&hint(&stranger, "JWT", |_| {}), ISSUER), "token.unknown_key");
        let (head, rest) = good.split_once('.').unwrap();
        let unsigned = encode(br#"{"alg":"none","typ":"JWT","kid":"x"}"#);
        assert_eq!(code(&format!("{unsigned}.{rest}"), ISSUER), "token.header");
        assert_eq!(code(head, ISSUER), "token.malformed");
    }
}
