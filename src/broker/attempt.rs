//! A login attempt: what was asked, sealed into the browser that asked. Its id travels as
//! RelayState or `state`; only the cookie of the same browser opens it again, and it names org,
//! connection and request, so that no other answer fits.

use crate::{FlowError, Gateway};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{
    Refusal, Timestamp,
    ids::{AppId, AttemptId, ConnectionId, OrgId, SessionId, UserId},
};
use serde::{Deserialize, Serialize};

const PURPOSE: &str = "login.attempt";

/// What the app asked for: checked before, kept until the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppRequest {
    pub app: AppId,
    pub redirect_uri: String,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: String,
    pub scope: String,
    /// What its access tokens shall be for, where not for the app itself (RFC 8707).
    #[serde(default)]
    pub resource: Option<String>,
    pub form_post: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginAttempt {
    pub id: AttemptId,
    pub org: OrgId,
    pub connection: ConnectionId,
    /// The AuthnRequest's ID, or the OIDC nonce.
    pub request_id: String,
    /// OIDC alone: the whole `state` that was sent.
    pub state: Option<String>,
    /// OIDC alone: the PKCE verifier of our own request upstream.
    pub pkce_verifier: Option<String>,
    pub asked: AppRequest,
    /// How recent a sign-in the app asked for (OIDC Core 3.1.2.1).
    pub max_age_secs: Option<i64>,
    /// Authentication contexts of which the app asked for one (RFC 9470).
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// The person whom the app means, by an `id_token_hint`.
    #[serde(default)]
    pub expected: Option<UserId>,
    /// The session that this browser has in the org, living or not: it does not outlast this sign-in.
    #[serde(default)]
    pub former: Option<SessionId>,
    /// The app asked that the person sign in anew (`prompt=login`).
    pub anew: bool,
    /// The org's revocation head when it began: a revocation meanwhile ends it too.
    pub rs: i64,
    pub begun_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The attempt as the browser keeps it: one cookie an attempt, so that two tabs do not collide.
pub struct SealedAttempt {
    pub cookie_name: String,
    pub cookie_value: String,
}

/// The name of an attempt's cookie, without any prefix.
pub fn cookie_name(id: AttemptId) -> String {
    format!("vst_{id}")
}

/// The attempt that a cookie of this name keeps.
pub fn id_of(cookie_name: &str) -> Option<AttemptId> {
    cookie_name.strip_prefix("vst_")?.parse().ok()
}

impl LoginAttempt {
    pub fn seal(&self, gw: &Gateway) -> Result<SealedAttempt, FlowError> {
        let plain = serde_json::to_vec(self).map_err(|e| FlowError::Fault(e.to_string()))?;
        let sealed = gw
            .db
            .seals()
            .seal(PURPOSE, self.id.uuid().as_bytes(), &plain, gw.chance.as_ref())
            .map_err(|e| FlowError::Fault(e.to_string()))?;
        Ok(SealedAttempt { cookie_name: cookie_name(self.id), cookie_value: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Since when the person must have been authenticated, if the app asked. Whoever was authenticated
    /// in the course of this attempt is recent enough for any `max_age`: it is the age at the question.
    pub fn authenticated_since(&self, now: Timestamp) -> Option<Timestamp> {
        let by_age = self.max_age_secs.map(|secs| now.minus_secs(secs).min(self.begun_at));
        if self.anew { Some(self.begun_at) } else { by_age }
    }

    /// Opens the attempt of this id from this browser's cookie and holds it to the connection that
    /// answers.
    pub fn open(
        gw: &Gateway,
        id: AttemptId,
        cookie: Option<&str>,
        connection: ConnectionId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let attempt = Self::unsealed(gw, id, cookie).ok_or(Refusal::stranger("login.attempt_unknown"))?;
        if attempt.connection != connection {
            return Err(Refusal::stranger("login.attempt_other_connection"));
        }
        if now >= attempt.expires_at {
            return Err(Refusal::stranger("login.attempt_expired"));
        }
        Ok(attempt)
    }

    /// The attempt of this id, if this browser has begun it; nothing is held to it.
    pub(crate) fn unsealed(gw: &Gateway, id: AttemptId, cookie: Option<&str>) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie?).ok()?;
        let plain = gw.db.seals().open(PURPOSE, id.uuid().as_bytes(), &sealed).ok()?;
        serde_json::from_slice(plain.reveal()).ok()
    }
}
