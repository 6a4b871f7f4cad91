//! Where a walk through the pages of a list stands. By cursor (RFC 9865) the client carries it, sealed:
//! good for one directory and one question, for an hour. By index (RFC 7644 3.4.2.4) Redis keeps it for
//! some minutes, so that the page after this one begins behind what this one showed, however many who
//! stood before it have gone meanwhile; without Redis rows are skipped by number, and a walk may miss
//! whom a removal moved forward.

use crate::{FlowError, Gateway};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Timestamp, TokenDigest};
use scim::{ListQuery, Problem, ScimError, list::CURSOR_SECS};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{OrgScope, Position, ScimClient};

const CURSOR: &str = "scim.cursor";
const WALKS: &str = "scim.walks";
/// Pages of one directory's walks that are remembered at once, two of each walk.
const WALKS_MAX: usize = 16;

/// Where a page ended, and how many there were when the walk began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footing {
    pub(crate) position: Position,
    pub(crate) total: u64,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    question: String,
    count: u32,
    until: i64,
    at: Footing,
}

#[derive(Serialize, Deserialize)]
struct Step {
    question: String,
    /// The index at which the next page begins.
    next: u64,
    at: Footing,
}

/// A question of one directory: the same on every page of a walk.
pub(crate) struct Walk<'a> {
    gw: &'a Gateway,
    scope: &'a OrgScope<ScimClient>,
    question: String,
    count: u32,
}

impl<'a> Walk<'a> {
    /// `endpoint` is where it is asked.
    pub(crate) fn of(
        gw: &'a Gateway,
        scope: &'a OrgScope<ScimClient>,
        endpoint: &str,
        query: &ListQuery,
    ) -> Self {
        let digest = TokenDigest::of(&format!("{endpoint}\n{}", query.question));
        let question = URL_SAFE_NO_PAD.encode(digest.bytes().get(..16).unwrap_or_default());
        Self { gw, scope, question, count: query.count }
    }

    fn seal(&self, purpose: &str, aad: &[u8], value: &impl Serialize) -> Result<Vec<u8>, FlowError> {
        let plain = serde_json::to_vec(value).map_err(|error| FlowError::Fault(error.to_string()))?;
        let sealed = self.gw.db.seals().seal(purpose, aad, &plain, self.gw.chance.as_ref());
        sealed.map_err(|fault| FlowError::Fault(fault.to_string()))
    }

    fn open<T: DeserializeOwned>(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Option<T> {
        let plain = self.gw.db.seals().open(purpose, aad, sealed).ok()?;
        serde_json::from_slice(plain.reveal()).ok()
    }

    fn directory(&self) -> Vec<u8> {
        format!("{} {}", self.scope.org(), self.scope.door().directory).into_bytes()
    }

    pub(crate) fn cursor(&self, at: Footing) -> Result<String, FlowError> {
        let until = self.scope.now().plus_secs(CURSOR_SECS).secs();
        let cursor = Cursor { question: self.question.clone(), count: self.count, until, at };
        Ok(URL_SAFE_NO_PAD.encode(self.seal(CURSOR, &self.directory(), &cursor)?))
    }

    /// Where the page of this cursor begins. Errors: `invalidCursor`, also for another directory's or
    /// another question's; `expiredCursor`; `invalidCount` when the page size is not the walk's.
    pub(crate) fn opened(&self, cursor: &str) -> Result<Footing, ScimError> {
        let wrong =
            || ScimError::of(Problem::CursorWrong, "not the nextCursor of this very list, filter and order");
        let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let cursor: Cursor = self.open(CURSOR, &self.directory(), &sealed).ok_or_else(wrong)?;
        if cursor.question != self.question {
            return Err(wrong());
        }
        if self.scope.now() >= Timestamp::from_secs(cursor.until) {
            let detail = format!("a cursor is good for {CURSOR_SECS} seconds; begin again");
            return Err(ScimError::of(Problem::CursorExpired, detail));
        }
        if cursor.count != self.count {
            let detail = format!("count was {} on the page before, and stays so", cursor.count);
            return Err(ScimError::of(Problem::CountWrong, detail));
        }
        Ok(cursor.at)
    }

    async fn steps(&self) -> Vec<Step> {
        let Some(live) = &self.gw.live else { return Vec::new() };
        let kept = live.walks(self.scope, self.scope.door().directory).await;
        let opened = kept.and_then(|kept| self.open(WALKS, &self.directory(), &kept));
        opened.unwrap_or_default()
    }

    /// Where the page at this index begins, if the page before it was shown to this directory.
    pub(crate) async fn footing(&self, start_index: u64) -> Option<Footing> {
        let steps = self.steps().await;
        let found = |step: &Step| step.question == self.question && step.next == start_index;
        steps.into_iter().find(found).map(|step| step.at)
    }

    /// Remembers where the page at `start_index` ended and the one at `next` begins. The page itself may
    /// be asked for again; what was known of other pages of the same walk is over.
    pub(crate) async fn keep(&self, start_index: u64, next: u64, at: Footing) -> Result<(), FlowError> {
        let Some(live) = &self.gw.live else { return Ok(()) };
        let mut steps = self.steps().await;
        steps.retain(|step| step.question != self.question || (step.next == start_index && start_index > 1));
        steps.insert(0, Step { question: self.question.clone(), next, at });
        steps.truncate(WALKS_MAX);
        let sealed = self.seal(WALKS, &self.directory(), &steps)?;
        live.put_walks(self.scope, self.scope.door().directory, &sealed).await;
        Ok(())
    }
}
