//! Claims for the app's own tests, without a token and without a gateway. Behind the feature
//! `testing`, which belongs among dev-dependencies alone: whoever can make claims can be anybody.

use crate::{Claims, Fault, claims::Expected};
use std::sync::atomic::{AtomicI64, Ordering};

static SHIFT_SECS: AtomicI64 = AtomicI64::new(0);

/// From now on the clock of every verifier of this process is so many seconds ahead, or behind.
pub fn shift_clock(secs: i64) {
    SHIFT_SECS.store(secs, Ordering::Relaxed);
}

pub(crate) fn shifted(now_secs: u64) -> u64 {
    now_secs.saturating_add_signed(SHIFT_SECS.load(Ordering::Relaxed))
}

/// What [`claims`] fills in.
pub const ISSUER: &str = "https://vestibule.test";
/// What [`claims`] fills in.
pub const AUDIENCE: &str = "app_test";

/// Claims out of a JSON object, read as a token's are. What it leaves out is filled in: a person
/// `usr_test` of `org_test` in the session `ses_test`, without teams and roles, good from now for 300 s.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// let claims = vestibule_verifier::testing::claims(r#"{"org_id": "org_acme", "roles": ["admin"]}"#).unwrap();
/// assert!(claims.has_role("admin"));
/// # }
/// ```
///
/// # Errors
/// The fault of the first claim that no token could have; `Malformed` for what is no JSON object.
pub fn claims(json: &str) -> Result<Claims, Fault> {
    let now = crate::verifier::now_secs();
    let mut filled = serde_json::json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "usr_test", "org_id": "org_test", "team_ids": [], "roles": [],
        "client_id": "app_test", "sid": "ses_test", "con": "con_test", "rs": 0, "scope": "openid",
        "auth_time": now, "iat": now, "exp": now + 300, "jti": "test",
    });
    let given = serde_json::from_str::<serde_json::Map<_, _>>(json).map_err(|_| Fault::Malformed)?;
    if let Some(members) = filled.as_object_mut() {
        members.extend(given);
    }
    let expected = Expected { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), leeway_secs: 0 };
    Claims::read(filled.to_string().as_bytes(), &expected, now)
}
