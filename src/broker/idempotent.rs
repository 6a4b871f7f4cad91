//! `Idempotency-Key`: the same key and request give the same answer for 24 h. The key is reserved
//! before the story and the answer kept after it; a story that was refused, or did not come to its
//! commit, changed nothing, so its key is free again. A key whose request may have happened (no answer
//! to the commit, a fault, a process that died in it) stays shut: rather never again than twice.

use crate::{FlowError, Gateway};
use model::{Refusal, TokenDigest, ids::OrgId, org::OrgState};
use serde::{Deserialize, Serialize};
use store::{Call, Door, Operator, OrgFacts, OrgScope, Reserved};

/// An answer as it was first given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A request's key and the digest of all that it asked.
#[derive(Clone, Debug)]
pub struct Key {
    text: String,
    request: TokenDigest,
}

pub const KEY_CHARS_MAX: usize = 255;

impl Key {
    /// `asked` is method, path and body. Errors: `api.idempotency_key_malformed`.
    pub fn read(text: &str, asked: &str) -> Result<Self, FlowError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > KEY_CHARS_MAX || !printable {
            let right = "1 to 255 printable ASCII characters";
            return Err(FlowError::invalid("api.idempotency_key_malformed", "Idempotency-Key", right));
        }
        Ok(Self { text: text.to_owned(), request: TokenDigest::of(asked) })
    }
}

/// Runs `story` once for this key. Errors: `api.idempotency_key_reused` (for another request),
/// `api.idempotency_unanswered`, and the story's own.
pub async fn once<D: Door>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    key: &Key,
    story: impl Future<Output = Result<Answer, FlowError>> + Send,
) -> Result<Answer, FlowError> {
    match gw.db.reserve_answer(scope, &key.text, &key.request).await? {
        Reserved::Fresh => {}
        Reserved::Kept(bytes) => {
            return serde_json::from_slice(&bytes).map_err(|e| FlowError::Fault(format!("kept answer: {e}")));
        }
        Reserved::OtherRequest => return Err(Refusal::proven("api.idempotency_key_reused").into()),
        Reserved::Unanswered => {
            let detail = "a request with this key is running, or was cut off: look before you ask again";
            return Err(FlowError::conflict("api.idempotency_unanswered", detail));
        }
    }
    match story.await {
        Ok(answer) => {
            let bytes = serde_json::to_vec(&answer).map_err(|e| FlowError::Fault(e.to_string()))?;
            // The act is committed: its answer is given even if it could not be kept.
            if let Err(error) = gw.db.settle_answer(scope, &key.text, &key.request, Some(&bytes)).await {
                tracing::error!(%error, "an answer was not kept for its idempotency key");
            }
            Ok(answer)
        }
        Err(error) => {
            if changed_nothing(&error)
                && let Err(error) = gw.db.settle_answer(scope, &key.text, &key.request, None).await
            {
                tracing::error!(%error, "an idempotency key was not freed");
            }
            Err(error)
        }
    }
}

fn changed_nothing(error: &FlowError) -> bool {
    match error {
        FlowError::Refused(_)
        | FlowError::Missing
        | FlowError::Closed(_)
        | FlowError::Conflict { .. }
        | FlowError::Invalid { .. }
        | FlowError::Limited { .. }
        | FlowError::Busy { .. } => true,
        FlowError::InDoubt | FlowError::Fault(_) | FlowError::Rehearsed(_) => false,
    }
}

/// Where the answers of calls that are about no org yet are kept: a shelf of the nil org.
pub fn platform_shelf(gw: &Gateway, by: Operator, call: &Call) -> OrgScope<Operator> {
    let facts = OrgFacts {
        id: OrgId::from_uuid(uuid::Uuid::nil()),
        slug: String::new(),
        state: OrgState::Active,
        plan: String::new(),
        region: String::new(),
    };
    gw.db.founding(by, facts, call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_and_bounded_and_knows_its_request() {
        assert!(Key::read(&"k".repeat(KEY_CHARS_MAX), "x").is_ok());
        for bad in ["", "a b", "a\n", "ä", &"k".repeat(KEY_CHARS_MAX + 1)] {
            assert_eq!(Key::read(bad, "x").unwrap_err().code(), "api.idempotency_key_malformed");
        }
        let (one, other) = (Key::read("k", "POST /a\n{}").unwrap(), Key::read("k", "POST /a\n{ }").unwrap());
        assert_ne!(one.request, other.request);
    }
}
