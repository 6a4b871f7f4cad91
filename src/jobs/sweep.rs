//! Takes away what is over: each org has its turn, soon again while there was something, seldom when
//! there was nothing. Small bites in transactions of their own, so that no sign-in waits for one; an
//! org with more than a turn's worth comes again in the next round, after the others.

use super::{ORGS_A_ROUND, entered_due};
use broker::{FlowError, Gateway};
use model::{Timestamp, ids::OrgId};
use store::{BITE, Call, Job, LogBounds, OrgScope, SWEPT, Shelf};

/// How long things are kept after their end, and how often an org has its turn; in seconds.
#[derive(Clone, Debug)]
pub struct Retention {
    pub sweep_every_secs: i64,
    pub ended_sessions_secs: i64,
    pub delivered_secs: i64,
    pub dead_deliveries_secs: i64,
    pub refusals_secs: i64,
    pub scim_requests_secs: i64,
    /// Beyond these it goes before its time.
    pub scim_requests: LogBounds,
}

/// An org in which nothing was found comes again after this long: 100,000 quiet orgs are 28 turns a second.
const QUIET_SECS: i64 = 3_600;
/// A code presented twice is still noticed this long after its end. And no node's clock is so far
/// ahead of another's that a single-use key goes while its assertion could be replayed.
const MARGIN_SECS: i64 = 3_600;
/// Bites of one turn and kind: 5,000 rows, then it is the next org's turn.
const BITES_MAX: usize = 25;

/// A round ends after this long, so that a process which is told to stop need not wait for more.
const ROUND_SECS: i64 = 2;

pub(super) async fn round(gw: Gateway, keep: Retention) -> Result<(), FlowError> {
    let call = gw.own_call();
    for org in gw.db.orgs_with_due("sweep", call.at, ORGS_A_ROUND).await? {
        turn(&gw, &keep, org, &call).await?;
        if gw.now() >= call.at.plus_secs(ROUND_SECS) {
            break;
        }
    }
    Ok(())
}

/// One org's turn, unless another node has it; answers how many rows went.
///
/// # Errors
/// The store's.
pub async fn turn(gw: &Gateway, keep: &Retention, org: OrgId, call: &Call) -> Result<i64, FlowError> {
    let scope = if org.uuid().is_nil() {
        gw.db.shelf("sweep", call)
    } else {
        match entered_due(gw, ("sweep", "sweep"), org, call).await? {
            Some(scope) => scope,
            None => return Ok(0),
        }
    };
    let mut tx = gw.db.write(&scope, "sweep.turn").await?;
    if !tx.take_turn(call.at.plus_secs(QUIET_SECS)).await? {
        return Ok(0);
    }
    tx.commit_housekeeping().await?;
    let (mut gone, mut unfinished) = (0, false);
    for shelf in Shelf::ALL.into_iter().filter(|shelf| org.uuid().is_nil() || !shelf.is_platforms()) {
        let rows = clear(gw, &scope, shelf, ended(shelf, keep, call.at)).await?;
        gone += rows;
        unfinished |= rows == BITE * i64::try_from(BITES_MAX).unwrap_or(1);
    }
    if !org.uuid().is_nil() {
        let (rows, is_done) = shed(gw, &scope, &keep.scim_requests).await?;
        gone += rows;
        unfinished |= !is_done;
    }
    if gone > 0 {
        let next = if unfinished { call.at } else { call.at.plus_secs(keep.sweep_every_secs) };
        let mut tx = gw.db.write(&scope, "sweep.turn").await?;
        tx.set_turn(next).await?;
        tx.commit_housekeeping().await?;
        tracing::debug!(%org, gone, "swept");
    }
    Ok(gone)
}

async fn clear(
    gw: &Gateway,
    scope: &OrgScope<Job>,
    shelf: Shelf,
    ended: Timestamp,
) -> Result<i64, FlowError> {
    let mut gone = 0;
    for _ in 0..BITES_MAX {
        let mut tx = gw.db.write(scope, "sweep.bite").await?;
        let rows = tx.sweep(shelf, ended).await?;
        if rows > 0 {
            tx.commit_housekeeping().await?;
        }
        SWEPT.add([shelf.table()], u64::try_from(rows).unwrap_or(0));
        gone += rows;
        if rows < BITE {
            break;
        }
    }
    Ok(gone)
}

/// What a directory's log has too much of goes, the oldest first; answers how many rows, and whether that is all.
async fn shed(gw: &Gateway, scope: &OrgScope<Job>, bounds: &LogBounds) -> Result<(i64, bool), FlowError> {
    let mut gone = 0;
    for _ in 0..BITES_MAX {
        let mut tx = gw.db.write(scope, "sweep.shed").await?;
        let rows = tx.shed_requests(bounds).await?;
        tx.commit_housekeeping().await?;
        SWEPT.add(["scim_requests_over"], u64::try_from(rows).unwrap_or(0));
        gone += rows;
        if rows == 0 {
            return Ok((gone, true));
        }
    }
    Ok((gone, false))
}

/// What ended at or before this instant goes.
const fn ended(shelf: Shelf, keep: &Retention, now: Timestamp) -> Timestamp {
    now.minus_secs(match shelf {
        Shelf::FirstUses | Shelf::Codes | Shelf::ScimAccess | Shelf::Assertions => MARGIN_SECS,
        Shelf::Answers => 0,
        Shelf::Families | Shelf::Sessions => keep.ended_sessions_secs,
        Shelf::Delivered => keep.delivered_secs,
        // As long as its receipt is looked at.
        Shelf::Logouts | Shelf::StreamEvents | Shelf::FeedAcks | Shelf::Dead => keep.dead_deliveries_secs,
        Shelf::Refusals => keep.refusals_secs,
        Shelf::Requests => keep.scim_requests_secs,
    })
}
