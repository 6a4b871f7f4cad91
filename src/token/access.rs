//! Judging an access token that somebody shows us: length, form, header, key, signature, then
//! every claim by type. Alive by this judge is not yet alive: `AccessClaims::is_dead` asks the
//! revocation watermarks. RFC 9068 4, RFC 8725 3.

use crate::{
    claims::{Claims, wrong},
    extra::Extra,
    key_ring::KeyRing,
    text::decode,
};
use model::{
    Refusal, SigningAlg, Timestamp,
    ids::{AppId, ConnectionId, OrgId, ServiceId, SessionId, TeamId, UserId},
    revocation::{self, Bearing, Scope, Watermark},
};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A token of ours with 200 teams is under 8 KiB; anything longer is not ours, and costs no parse.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a verified access token says, whoever has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    pub audience: String,
    pub org: OrgId,
    pub roles: Vec<String>,
    pub rs: i64,
    /// What the app it is for has chosen besides.
    pub extra: Extra,
    pub jti: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub whose: Whose,
}

/// Whose token: the two have different claims, and none of one can stand in the other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A person's, by the app that they are signed in to.
    Person(Box<Person>),
    /// A service account's own: nobody signed in, so there is no session, connection or time of it.
    Service(ServiceId),
}

/// What a person's token says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub client_id: AppId,
    pub user: UserId,
    pub session: SessionId,
    pub connection: ConnectionId,
    pub team_ids: Vec<TeamId>,
    pub scope: String,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub auth_time: Timestamp,
}

impl AccessClaims {
    /// The scopes by whose revocation this token dies.
    pub fn scopes(&self) -> Vec<Scope> {
        match &self.whose {
            Whose::Person(person) => vec![
                Scope::Org,
                Scope::User(person.user),
                Scope::Session(person.session),
                Scope::App(person.client_id),
                Scope::Connection(person.connection),
            ],
            Whose::Service(service) => vec![Scope::Org, Scope::Service(*service)],
        }
    }

    /// Dead by the watermarks of its own org, which the caller has picked by `org`.
    pub fn is_dead(&self, watermarks: &[Watermark]) -> bool {
        revocation::is_dead(Bearing::AccessToken, self.rs, &self.scopes(), watermarks)
    }
}

/// Verifies a compact JWS as an access token of ours, expired at the very second of `exp`.
/// The audience is the caller's to compare.
///
/// # Errors
/// `token.too_long`, `token.malformed`, `token.header` (an `alg` that is not the named key's own, another `typ`,
/// or any member beyond `alg`, `typ`, `kid`), `token.unknown_key`, `token.signature`; and after the signature
/// `token.claim` (missing or of a wrong JSON type), `token.issuer`, `token.expired`.
pub fn verify(jwt: &str, ring: &KeyRing, issuer: &str, now: Timestamp) -> Result<AccessClaims, Refusal> {
    let claims = read(&verified_payload(jwt, "at+jwt", ring)?, issuer)?;
    if now >= claims.expires_at {
        return Err(Refusal::proven("token.expired"));
    }
    Ok(claims)
}

pub(crate) fn verified_payload(jwt: &str, typ: &str, ring: &KeyRing) -> Result<Claims, Refusal> {
    if jwt.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::stranger("token.too_long"));
    }
    let malformed = || Refusal::stranger("token.malformed");
    let (input, signature) = jwt.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = input.split_once('.').ok_or_else(malformed)?;
    let header = object(header).ok_or_else(malformed)?;
    let signature = decode(signature).ok_or_else(malformed)?;

    let member = |name| header.get(name).and_then(Value::as_str);
    // Exactly three members: no crit, jwk, jku, x5c, x5u or zip can say anything.
    let foreign = || Refusal::stranger("token.header");
    let alg = member("alg").and_then(SigningAlg::parse).ok_or_else(foreign)?;
    if header.len() != 3 || member("typ") != Some(typ) {
        return Err(foreign());
    }
    let kid = member("kid").ok_or_else(foreign)?;
    let key = ring.find(kid).ok_or_else(|| Refusal::stranger("token.unknown_key"))?;
    // The key says how it verifies: a header that says otherwise is not one of ours (RFC 8725 3.1).
    if alg != key.alg() {
        return Err(foreign());
    }
    if !ring.has_verified(jwt, || key.verifies(input.as_bytes(), &signature)) {
        return Err(Refusal::stranger("token.signature"));
    }
    object(payload).map(Claims).ok_or_else(|| Refusal::proven("token.malformed"))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&decode(part)?).ok().map(|Named(members)| members)
}

/// A JSON object that names no member twice: two readers could disagree about which one counts (RFC 8725 2.4).
struct Named(Map<String, Value>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Once).map(Named)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated members")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(all)
    }
}

fn read(claims: &Claims, issuer: &str) -> Result<AccessClaims, Refusal> {
    if claims.text("iss")? != issuer {
        return Err(Refusal::proven("token.issuer"));
    }
    let (issued, expires) = (claims.whole("iat")?, claims.whole("exp")?);
    if expires <= issued {
        return Err(wrong("exp"));
    }
    Ok(AccessClaims {
        audience: claims.text("aud")?,
        org: claims.id("org_id")?,
        roles: claims.texts("roles")?,
        rs: claims.whole("rs")?,
        extra: Extra::read(claims)?,
        jti: claims.text("jti")?,
        issued_at: Timestamp::from_secs(issued),
        expires_at: Timestamp::from_secs(expires),
        whose: whose(claims)?,
    })
}

/// By `sub`: the kind of id says whose token it is, and each kind has its own claims.
fn whose(claims: &Claims) -> Result<Whose, Refusal> {
    let Ok(service) = claims.id::<ServiceId>("sub") else {
        return Ok(Whose::Person(Box::new(Person {
            client_id: claims.id("client_id")?,
            user: claims.id("sub")?,
            session: claims.id("sid")?,
            connection: claims.id("con")?,
            team_ids: claims.texts("team_ids")?,
            scope: claims.text("scope")?,
            acr: claims.maybe_text("acr")?,
            amr: claims.maybe_texts("amr")?.unwrap_or_default(),
            auth_time: Timestamp::from_secs(claims.whole("auth_time")?),
        })));
    };
    if claims.id::<ServiceId>("client_id")? != service {
        return Err(wrong("client_id"));
    }
    if !claims.texts::<String>("team_ids")?.is_empty() {
        return Err(wrong("team_ids"));
    }
    match OF_A_PERSON.into_iter().find(|name| claims.0.contains_key(*name)) {
        None => Ok(Whose::Service(service)),
        Some(name) => Err(wrong(name)),
    }
}

/// Claims of a sign-in: in a service account's token they would be made up.
const OF_A_PERSON: [&str; 6] = ["sid", "con", "auth_time", "acr", "amr", "scope"];

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
