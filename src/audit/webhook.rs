//! Standard Webhooks signatures (standardwebhooks.com, specification 1.0): HMAC-SHA256 over
//! `id.timestamp.body`, written `v1,<base64>`; the secret is `whsec_` and its base64.
//! The id and the time are under the signature, so a receiver can refuse a repetition.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Chance, Secret, Timestamp, ids::random32};

const PREFIX: &str = "whsec_";
/// The specification's own bounds for a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A webhook's signing secret.
pub struct WebhookSecret(Secret<Vec<u8>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAWebhookSecret;

impl std::fmt::Display for NotAWebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a webhook secret")
    }
}
impl std::error::Error for NotAWebhookSecret {}

impl WebhookSecret {
    /// 256 fresh random bits.
    pub fn generate(chance: &dyn Chance) -> Self {
        Self(Secret::new(random32(chance).to_vec()))
    }

    /// Reads `whsec_…`: canonical base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, NotAWebhookSecret> {
        let body = text.strip_prefix(PREFIX).ok_or(NotAWebhookSecret)?;
        let bytes = Secret::new(STANDARD.decode(body).map_err(|_| NotAWebhookSecret)?);
        if SECRET_BYTES.contains(&bytes.reveal().len()) { Ok(Self(bytes)) } else { Err(NotAWebhookSecret) }
    }

    /// The text shown once to whoever set the webhook up.
    pub fn text(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}", STANDARD.encode(self.0.reveal())))
    }

    /// The value of `webhook-signature` for one attempt. `id` is `webhook-id` (an event's id: no
    /// full stop in it), `at` the attempt's `webhook-timestamp` in whole seconds.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let tag = hmac::sign(&self.key(), &signed_bytes(id, at, body));
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }

    /// Does the header, a list parted by spaces, hold a `v1` signature of ours? For tests and for
    /// receivers; compared in constant time. The age of `at` is the receiver's to judge.
    pub fn verify(&self, header: &str, id: &str, at: Timestamp, body: &[u8]) -> bool {
        let message = signed_bytes(id, at, body);
        header
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
            .any(|tag| hmac::verify(&self.key(), &message, &tag).is_ok())
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.reveal())
    }
}

fn signed_bytes(id: &str, at: Timestamp, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{}.", at.secs()).as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_614_265_330);

    struct Sevens;
    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn signs_as_the_reference_libraries_do() {
        // The vector in the tests of the Standard Webhooks libraries.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let header = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", AT, br#"{"test": 2432232314}"#);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_signature_holds_for_its_id_time_and_body_alone() {
        let secret = WebhookSecret::generate(&Sevens);
        let header = secret.sign("evt_1", AT, b"{}");
        assert!(secret.verify(&header, "evt_1", AT, b"{}"));
        assert!(secret.verify(&format!("v1,AAAA v1a,x {header}"), "evt_1", AT, b"{}"), "one of several");
        assert!(!secret.verify(&header, "evt_2", AT, b"{}"));
        assert!(!secret.verify(&header, "evt_1", AT.plus_secs(1), b"{}"));
        assert!(!secret.verify(&header, "evt_1", AT, b"{ }"));
        assert!(!secret.verify(&header.replace("v1,", "v2,"), "evt_1", AT, b"{}"));
        assert!(!secret.verify("", "evt_1", AT, b"{}"));
    }

    #[test]
    fn a_secret_round_trips_and_its_bounds_hold() {
        let secret = WebhookSecret::generate(&Sevens);
        let again = WebhookSecret::parse(secret.text().reveal()).unwrap();
        assert_eq!(again.sign("a", AT, b""), secret.sign("a", AT, b""));
        let of = |bytes: usize| WebhookSecret::parse(&format!("whsec_{}", STANDARD.encode(vec![1; bytes])));
        assert!(of(23).is_err() && of(24).is_ok() && of(64).is_ok() && of(65).is_err());
        for bad in ["", "whsec_", "whsec_!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(WebhookSecret::parse(bad).is_err(), "{bad}");
        }
    }
}
