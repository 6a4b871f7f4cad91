//! The one guard of every plan's quotas. Whatever makes something that a plan counts asks here, inside its own
//! transaction, and gets the room without which no ledger makes it. A refusal undoes the act, is told in the
//! caller's dialect, and is recorded once an hour: a directory that tries again all day floods no record.

use crate::{FlowError, Gateway};
use model::{
    Refusal,
    quota::{Bound, Notice, Quota},
    record::{Act, AuditEvent, Record},
};
use store::{Counted, Door, Full, OrgScope, Room, TenantTx, counted};

/// What a directory's create, a sign-in and a re-activation ask for.
pub(crate) type Seat = Room<counted::Seats>;

/// Room for one more, with the transaction; without room the transaction is over. Asked after people's rows are
/// locked, and before anything is written. Errors: `quota.…` of its kind; `api.too_many` where the bound is not
/// the plan's.
pub(crate) async fn admit<K: Counted, D: Door>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    mut tx: TenantTx,
) -> Result<(TenantTx, Room<K>), FlowError> {
    match ask(&mut tx).await {
        Ok(room) => Ok((tx, room)),
        Err(error) => {
            drop(tx);
            refused(gw, scope, &error).await;
            Err(error)
        }
    }
}

/// The same, for a story that gives its transaction up by itself, and then has the refusal recorded by
/// `refused`.
pub(crate) async fn ask<K: Counted>(tx: &mut TenantTx) -> Result<Room<K>, FlowError> {
    let room = tx.room::<K>().await?.map_err(turned_away)?;
    if let Some(notice) = room.notice()
        && tx.note_quota(K::QUOTA, notice).await?
    {
        let action = match notice {
            Notice::Near => Act::QuotaNear,
            Notice::Reached | Notice::Refused => Act::QuotaReached,
        };
        let (plan, most, taken) = room.standing();
        let event = AuditEvent::done(action)
            .on("quota", K::QUOTA)
            .value("plan", plan)
            .value("most", most)
            .value("in_use", taken.saturating_add(1));
        tx.also(event);
    }
    Ok(room)
}

fn turned_away(full: Full) -> FlowError {
    match full.bound {
        Bound::House(_) => FlowError::conflict("api.too_many", full.to_string()),
        Bound::Plan(most) => Refusal::proven(full.quota.code())
            .with("detail", &full)
            .with("plan", full.plan)
            .with("most", most)
            .with("in_use", full.taken)
            .into(),
    }
}

/// Records that somebody was turned away, in a transaction of its own and at most once an hour; nothing for any
/// other error, nor of a rehearsal. Where that fails, the refusal is no less one: the next is recorded.
pub(crate) async fn refused<D: Door>(gw: &Gateway, scope: &OrgScope<D>, error: &FlowError) {
    let FlowError::Refused(refusal) = error else { return };
    let Some(quota) = Quota::of_code(refusal.code) else { return };
    if scope.door().is_rehearsal() {
        return;
    }
    if let Err(error) = record(gw, scope, quota, refusal).await {
        tracing::warn!(%error, %quota, "a refusal by the plan is not on record");
    }
}

async fn record<D: Door>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    quota: Quota,
    refusal: &Refusal,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write_after(scope, "quota.refused").await?;
    if !tx.note_quota(quota, Notice::Refused).await? {
        return Ok(());
    }
    let fact = |wanted: &str| refusal.facts.iter().find(|(name, _)| *name == wanted).map(|(_, fact)| fact);
    let number = |name: &str| fact(name).and_then(|text| text.parse::<i64>().ok());
    let event = AuditEvent::refused(Act::QuotaRefused)
        .on("quota", quota)
        .value("plan", fact("plan").cloned())
        .value("most", number("most"))
        .value("in_use", number("in_use"));
    Ok(tx.commit(Record::of(event)).await?)
}
