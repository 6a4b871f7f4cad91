//! Notices when Redis has lost what it held, says so loudly, and has every org's revocations brought
//! there again. Until then Postgres answers: a missing watermark never means "not revoked".

use broker::{FlowError, Gateway, counted};
use model::ids::EventId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::live::{Guard, Held, Live, Loss};

/// Before a loss is believed it is looked at again: another node may be in the middle of mending it.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// With `fresh` a private Redis of this very start, which keeps nothing by design, may be empty once.
pub(super) async fn round(gw: Gateway, fresh: Arc<AtomicBool>) -> Result<(), FlowError> {
    let Some(live) = &gw.live else { return Ok(()) };
    let Some(guard) = gw.db.redis_guard().await? else { return fill(&gw, live, None).await };
    let fresh = fresh.swap(false, Ordering::Relaxed);
    let looked = async |guard: Guard| live.beat(guard).await.ok();
    watch_policy(live).await;
    match looked(guard).await {
        // Away: readyz says so, and there is nothing to compare.
        None => return Ok(()),
        Some(Held::All(beat)) => return Ok(gw.db.note_beat(Guard { beat, ..guard }).await?),
        Some(Held::Lost(_)) => tokio::time::sleep(SECOND_LOOK).await,
    }
    let Some(guard) = gw.db.redis_guard().await? else { return Ok(()) };
    if let Some(Held::Lost(how)) = looked(guard).await {
        if fresh && how == Loss::Emptied {
            tracing::info!("the private redis starts empty; every org's revocations are brought there again");
        } else {
            let how = how.as_str();
            tracing::error!(how, "redis lost what it held; every org's revocations are brought there again");
            counted::REDIS_LOSSES.add([how], 1);
        }
        fill(&gw, live, Some(guard)).await?;
    }
    Ok(())
}

/// First the work is noted, then the new generation: a process that dies in between is followed by
/// one that finds the same loss.
async fn fill(gw: &Gateway, live: &Live, old: Option<Guard>) -> Result<(), FlowError> {
    let now = gw.now();
    gw.db.every_org_due("revocation", now).await?;
    let new = EventId::new(now, gw.chance.as_ref()).uuid();
    if let Some(begun) = gw.db.next_generation(old, new).await? {
        live.begin(begun).await.map_err(|error| FlowError::Fault(format!("redis: {error}")))?;
    }
    Ok(())
}

async fn watch_policy(live: &Live) {
    let Ok(Some(policy)) = live.eviction_policy().await else { return };
    let evicts = u64::from(policy != "noeviction");
    if evicts == 1 && counted::REDIS_EVICTS.read() != [([], 1)] {
        tracing::error!(policy, "redis may evict what it holds: set maxmemory-policy to noeviction");
    }
    counted::REDIS_EVICTS.set([], evicts);
}
