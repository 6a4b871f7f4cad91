//! A browser's session check in Redis against a raw GET, over the same connection kind, from this process.

use crate::{
    gateway::{CLIENTS, Gateway, Until, drive, usage},
    table::row,
};
use model::{Timestamp, TokenDigest, ids::SessionId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use store::{Call, OrgRef, SessionRow};
use vestibule::{
    seams::{Clock, SystemChance, SystemClock},
    settings::Settings,
    wiring,
};

pub async fn run(gateway: &Gateway, secs: u64) {
    let given = [
        ("VESTIBULE_DATA_DIR".to_owned(), gateway.data.path().display().to_string()),
        ("VESTIBULE_PUBLIC_URL".to_owned(), gateway.base.clone()),
    ];
    let stores = ["DATABASE_URL", "REDIS_URL"].map(|name| (name.to_owned(), std::env::var(name)));
    let stores = stores.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
    let settings = Settings::load(None, given.into_iter().chain(stores)).unwrap();
    let stores = wiring::Stores::open(&settings, false, |_| {}).unwrap();
    let gw = wiring::gateway(&settings, &stores).await.unwrap();
    let now = SystemClock.now();
    let call = Call { request_id: "load".to_owned(), ip: None, user_agent: None, at: now };
    let scope = gw.db.visitor(&OrgRef::Slug("acme0".to_owned()), &call).await.unwrap();
    let (live, digest) = (gw.live.clone().unwrap(), TokenDigest::of("a session of this bench"));
    live.put_session(&scope, &digest, &session(now)).await.unwrap();

    let client = redis::Client::open(stores.redis_url.clone().unwrap()).unwrap();
    let raw = ConnectionManager::new_with_config(client, ConnectionManagerConfig::new()).await.unwrap();
    let mut set = raw.clone();
    redis::cmd("SET").arg("load").arg("x".repeat(120)).query_async::<()>(&mut set).await.unwrap();
    let get = timed("raw GET", secs, move |_| {
        let mut raw = raw.clone();
        async move { drop(redis::cmd("GET").arg("load").query_async::<String>(&mut raw).await.unwrap()) }
    })
    .await;
    let check = timed("session check in Redis", secs, move |_| {
        let (live, scope, digest) = (live.clone(), scope.clone(), digest);
        async move { assert!(matches!(live.session(&scope, &digest).await, store::live::Seen::Alive(_))) }
    })
    .await;
    let ours = format!("{check:.0} /cpu-s of this process: {:.1} GETs", get / check);
    row(
        "session check in Redis",
        &ours,
        &format!("raw GET {get:.0} /cpu-s"),
        "oidc-provider 4,400",
        "15,000 /cpu-s",
    );
}

/// Operations per CPU-second of this process.
async fn timed<F>(name: &str, secs: u64, work: impl Fn(u64) -> F + Clone + Send + Sync + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let (before, _) = usage(std::process::id());
    let ran = drive(name, CLIENTS, Until::Secs(secs), work).await;
    let (after, _) = usage(std::process::id());
    ran.n / ((after - before) as f64 / 100.0).max(0.01)
}

fn session(now: Timestamp) -> SessionRow {
    SessionRow {
        id: SessionId::new(now, &SystemChance),
        user: model::ids::UserId::new(now, &SystemChance),
        connection: model::ids::ConnectionId::new(now, &SystemChance),
        rs: i64::MAX,
        acr: None,
        amr: Vec::new(),
        auth_time: now,
        created_at: now,
        seen_at: now,
        expires_at: now.plus_secs(3_600),
        ended_at: None,
    }
}
