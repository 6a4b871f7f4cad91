//! What a verified token says (RFC 9068 2.2, and Vestibule's own claims). Every claim has one right
//! JSON type, and a wrong one is an error, never "absent": CVE-2026-25537 is why.

use crate::{
    denied::Fault,
    extra::Extra,
    json::{self, Json},
};
use std::{collections::HashMap, sync::Arc};

/// Audiences of one token.
const AUDIENCES_MAX: usize = 16;
/// An access token of Vestibule lives 900 s at most; one that would live longer than a day has its times
/// in another unit.
const LIFETIME_SECS_MAX: u64 = 86_400;
/// How far a sign-in may lie behind the minting: a provider's clock may be ahead, its unit may not.
const SIGN_IN_AHEAD_SECS_MAX: u64 = 300;

/// The claims of an access token whose signature, issuer, audience and times held when it was
/// verified. Only a [`Verifier`](crate::Verifier) makes one, and nothing can change it: to hold one
/// is the proof. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(Arc<Said>);

#[derive(Debug, PartialEq, Eq)]
struct Said {
    sub: String,
    org_id: String,
    team_ids: Vec<String>,
    roles: Vec<String>,
    client_id: String,
    whose: Whose,
    rs: u64,
    scope: String,
    exp: u64,
    iat: u64,
    nbf: Option<u64>,
    jti: String,
    extra: Extra,
    /// The revocation scopes the token names, as the feed writes them.
    watched: Vec<String>,
}

/// Whose token: a person's says how they signed in, a service account's says nothing of a sign-in.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Person(Box<SignIn>),
    Service,
}

#[derive(Debug, PartialEq, Eq)]
struct SignIn {
    sid: String,
    con: String,
    acr: Option<String>,
    amr: Vec<String>,
    auth_time: Option<u64>,
    actor: Option<String>,
}

/// How the `sub` of a service account begins.
const SERVICE: &str = "svc_";
/// Claims of a sign-in: in a service account's token they would be made up.
const OF_A_PERSON: [&str; 7] = ["sid", "con", "auth_time", "acr", "amr", "scope", "act"];

/// What a token has to say.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) leeway_secs: u64,
}

impl Claims {
    /// Reads the payload of a token whose signature is proven.
    ///
    /// # Errors
    /// `Malformed`, `Claim`, `Issuer`, `Audience`, `Bound`; times as [`hold`](Self::hold).
    pub(crate) fn read(payload: &[u8], expected: &Expected, now_secs: u64) -> Result<Self, Fault> {
        let said = Members(json::object(payload).ok_or(Fault::Malformed)?);
        if said.text("iss")? != expected.issuer {
            return Err(Fault::Issuer);
        }
        let audiences = match said.0.get("aud") {
            Some(Json::Text(one)) => vec![one.clone()],
            Some(_) => said.texts("aud")?.unwrap_or_default(),
            None => return Err(Fault::Claim("aud")),
        };
        if audiences.len() > AUDIENCES_MAX {
            return Err(Fault::Claim("aud"));
        }
        if !audiences.contains(&expected.audience) {
            return Err(Fault::Audience);
        }
        if said.0.contains_key("cnf") {
            return Err(Fault::Bound);
        }
        let claims = Self(Arc::new(said.read()?));
        claims.hold(expected.leeway_secs, now_secs)?;
        Ok(claims)
    }

    /// Whether its times hold now: dead at the very second of `exp`, plus leeway.
    ///
    /// # Errors
    /// `Expired`, `NotYet`.
    pub(crate) fn hold(&self, leeway_secs: u64, now_secs: u64) -> Result<(), Fault> {
        if now_secs >= self.0.exp.saturating_add(leeway_secs) {
            return Err(Fault::Expired);
        }
        let latest = now_secs.saturating_add(leeway_secs);
        if self.0.iat > latest || self.0.nbf.is_some_and(|from| from > latest) {
            return Err(Fault::NotYet);
        }
        Ok(())
    }

    /// The revocation scopes by which it dies: `org`, and of a person `usr:…`, `ses:…`, `app:…`, `con:…`, of a
    /// service account `svc:…`.
    pub(crate) fn watched(&self) -> &[String] {
        &self.0.watched
    }

    pub(crate) fn extra(&self) -> &Extra {
        &self.0.extra
    }

    /// Whose token: the seat, one per person and org (`usr_…`), or a service account (`svc_…`).
    pub fn sub(&self) -> &str {
        &self.0.sub
    }
    /// The org (`org_…`). Every question of an app begins here: `row.org_id == claims.org_id()`.
    pub fn org_id(&self) -> &str {
        &self.0.org_id
    }
    /// Teams in that org; empty when there are none.
    pub fn team_ids(&self) -> &[String] {
        &self.0.team_ids
    }
    /// Roles in that org, from Vestibule's catalogue; empty when there are none.
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }
    /// Whether it is a service account's: nobody signed in.
    pub fn is_service(&self) -> bool {
        matches!(self.0.whose, Whose::Service)
    }
    fn sign_in(&self) -> Option<&SignIn> {
        match &self.0.whose {
            Whose::Person(sign_in) => Some(sign_in),
            Whose::Service => None,
        }
    }
    /// The app the token was given to (`app_…`), or the service account itself.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }
    /// The session (`ses_…`), when a person signed in.
    pub fn sid(&self) -> Option<&str> {
        self.sign_in().map(|sign_in| sign_in.sid.as_str())
    }
    /// The connection by which the person signed in (`con_…`).
    pub fn con(&self) -> Option<&str> {
        self.sign_in().map(|sign_in| sign_in.con.as_str())
    }
    /// The org's revocation head when the token was minted.
    pub fn rs(&self) -> u64 {
        self.0.rs
    }
    /// The granted scopes, separated by spaces; empty when none was granted.
    pub fn scope(&self) -> &str {
        &self.0.scope
    }
    /// How strongly the person signed in, if upstream said.
    pub fn acr(&self) -> Option<&str> {
        self.sign_in()?.acr.as_deref()
    }
    /// By which means (RFC 8176), if upstream said.
    pub fn amr(&self) -> &[String] {
        self.sign_in().map_or(&[], |sign_in| sign_in.amr.as_slice())
    }
    /// When the person signed in, in seconds since 1970.
    pub fn auth_time(&self) -> Option<u64> {
        self.sign_in()?.auth_time
    }
    /// The second at which the token ends, since 1970.
    pub fn exp(&self) -> u64 {
        self.0.exp
    }
    /// The second of its minting, since 1970.
    pub fn iat(&self) -> u64 {
        self.0.iat
    }
    /// The token's own id.
    pub fn jti(&self) -> &str {
        &self.0.jti
    }
    /// Who acts in the person's place (`act.sub`, RFC 8693 4.1): an app shows it and keeps it in its log.
    pub fn actor(&self) -> Option<&str> {
        self.sign_in()?.actor.as_deref()
    }
    /// Whether this scope was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scope.split(' ').any(|granted| granted == scope)
    }
    /// Whether the person has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|held| held == role)
    }
}

/// Claims about to be read one by one.
pub(crate) struct Members(pub(crate) HashMap<String, Json>);

impl Members {
    fn maybe_text(&self, name: &'static str) -> Result<Option<String>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) if !text.contains('\0') => Ok(Some(text.clone())),
            Some(_) => Err(Fault::Claim(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<String, Fault> {
        self.maybe_text(name)?.ok_or(Fault::Claim(name))
    }

    /// An id: a text that is not empty, because an empty one is "none" to many a database.
    fn id(&self, name: &'static str) -> Result<String, Fault> {
        let id = self.text(name)?;
        if id.is_empty() { Err(Fault::Claim(name)) } else { Ok(id) }
    }

    /// A whole number from zero to `i64::MAX`: `300.0` and `"300"` are none.
    fn maybe_whole(&self, name: &'static str) -> Result<Option<u64>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Whole(number)) if i64::try_from(*number).is_ok() => Ok(Some(*number)),
            Some(_) => Err(Fault::Claim(name)),
        }
    }

    fn whole(&self, name: &'static str) -> Result<u64, Fault> {
        self.maybe_whole(name)?.ok_or(Fault::Claim(name))
    }

    pub(crate) fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, Fault> {
        let items = match self.0.get(name) {
            None => return Ok(None),
            Some(Json::List(items)) => items,
            Some(_) => return Err(Fault::Claim(name)),
        };
        let text = |item: &Json| match item {
            Json::Text(text) if !text.contains('\0') => Some(text.clone()),
            _ => None,
        };
        items.iter().map(text).collect::<Option<_>>().map(Some).ok_or(Fault::Claim(name))
    }

    fn actor(&self) -> Result<Option<String>, Fault> {
        match self.0.get("act") {
            None => Ok(None),
            Some(Json::Object(actor)) => match actor.get("sub") {
                Some(Json::Text(sub)) if !sub.is_empty() => Ok(Some(sub.clone())),
                _ => Err(Fault::Claim("act")),
            },
            Some(_) => Err(Fault::Claim("act")),
        }
    }

    fn sign_in(&self, iat: u64) -> Result<SignIn, Fault> {
        let auth_time = self.maybe_whole("auth_time")?;
        if auth_time.is_some_and(|at| at > iat.saturating_add(SIGN_IN_AHEAD_SECS_MAX)) {
            return Err(Fault::Claim("auth_time"));
        }
        Ok(SignIn {
            sid: self.id("sid")?,
            con: self.id("con")?,
            acr: self.maybe_text("acr")?,
            amr: self.texts("amr")?.unwrap_or_default(),
            auth_time,
            actor: self.actor()?,
        })
    }

    /// A service account speaks for itself: it is its own client, in no team, and signed in nowhere.
    fn service(&self, sub: &str, client_id: &str, team_ids: &[String]) -> Result<(), Fault> {
        if client_id != sub {
            return Err(Fault::Claim("client_id"));
        }
        if !team_ids.is_empty() {
            return Err(Fault::Claim("team_ids"));
        }
        OF_A_PERSON
            .into_iter()
            .find(|name| self.0.contains_key(*name))
            .map_or(Ok(()), |name| Err(Fault::Claim(name)))
    }

    fn read(&self) -> Result<Said, Fault> {
        let (sub, org_id, client_id) = (self.id("sub")?, self.id("org_id")?, self.id("client_id")?);
        let (exp, iat) = (self.whole("exp")?, self.whole("iat")?);
        if exp <= iat || exp - iat > LIFETIME_SECS_MAX {
            return Err(Fault::Claim("exp"));
        }
        let team_ids = self.texts("team_ids")?.ok_or(Fault::Claim("team_ids"))?;
        let (whose, watched) = if sub.starts_with(SERVICE) {
            self.service(&sub, &client_id, &team_ids)?;
            (Whose::Service, vec!["org".to_owned(), format!("svc:{sub}")])
        } else {
            let sign_in = self.sign_in(iat)?;
            let mut watched = vec!["org".to_owned(), format!("usr:{sub}"), format!("app:{client_id}")];
            watched.extend([format!("ses:{}", sign_in.sid), format!("con:{}", sign_in.con)]);
            (Whose::Person(Box::new(sign_in)), watched)
        };
        Ok(Said {
            team_ids,
            roles: self.texts("roles")?.ok_or(Fault::Claim("roles"))?,
            rs: self.whole("rs")?,
            scope: self.maybe_text("scope")?.unwrap_or_default(),
            nbf: self.maybe_whole("nbf")?,
            jti: self.id("jti")?,
            extra: Extra::read(self)?,
            sub,
            org_id,
            client_id,
            whose,
            exp,
            iat,
            watched,
        })
    }
}
