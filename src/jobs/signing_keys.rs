//! Keeps the signing keys: looks each second whether they have changed anywhere, and does hourly what is due by
//! itself, the next key made and published, its turn come, an old one gone.

use broker::{FlowError, Gateway, counted, signing_keys};
use model::{KeyState, SigningAlg};
use store::{PlatformAct, PlatformActor};

pub(super) async fn beat(gw: Gateway) -> Result<(), FlowError> {
    gw.keys.beat(&gw.db).await?;
    let (now, dates) = (gw.now(), gw.keys.dates());
    for alg in SigningAlg::ALL {
        for state in [KeyState::Next, KeyState::Current, KeyState::Retiring] {
            let number = dates.iter().filter(|key| key.alg == alg && key.state == state).count();
            counted::SIGNING_KEYS.set([alg.as_str(), state.as_str()], u64::try_from(number).unwrap_or(0));
        }
        let signs = dates.iter().find(|key| key.alg == alg && key.state == KeyState::Current);
        if let Some(since) = signs.and_then(|key| key.signs_at) {
            let age = u64::try_from(now.secs() - since.secs()).unwrap_or(0);
            counted::SIGNING_KEY_AGE.set([alg.as_str()], age);
        }
    }
    Ok(())
}

pub(super) async fn tend(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let act = PlatformAct { by: PlatformActor::Schedule, request_id: &call.request_id, at: call.at };
    signing_keys::tend(&gw.db, act, gw.lifetimes.signing_key_rotate_secs).await?;
    Ok(gw.keys.beat(&gw.db).await?)
}
