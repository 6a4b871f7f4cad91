//! From settings to a running gateway: stores, keys, the one outgoing socket, the server, the jobs.

use crate::{
    embedded::{Embedded, EmbeddedError, EmbeddedOptions},
    http, jobs, outbound,
    outbound::{Outbound as _, Sockets},
    running::Running,
    seal_keys::{self, SealKeyError},
    seams::{Clock, SystemChance, SystemClock},
    settings::Settings,
};
use actix_web::{App, HttpServer, dev::ServerHandle, middleware, web};
use broker::{
    Gateway, Lifetimes, Links, Outbound, OutboundAnswer, OutboundFault, OutboundRequest,
    gateway::Pending,
    signing_keys::{KeysError, SigningKeys},
};
use model::{Secret, ids::random32};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use store::{
    Db, DbOptions, PlatformAct, PlatformActor,
    live::{Live, Rates},
};
use token::{pass::PassKey, refresh::RefreshKey, seal::SealKeys};
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    SealKeys(#[from] SealKeyError),
    #[error("{0}")]
    Store(#[from] store::Error),
    #[error("cannot listen on {addr}: {why}")]
    Listen { addr: SocketAddr, why: std::io::Error },
    #[error("redis would evict what it holds (maxmemory-policy {0}): set it to noeviction")]
    Evicts(String),
    #[error("the seal key that sealed this database's secrets is not in {0}: put it back")]
    SealKeyLost(std::path::PathBuf),
    #[error(
        "no database: no setting names one (DATABASE_URL, database.url), and {0} holds none; run this with the settings \
         and in the folder of `vestibule serve` or `vestibule demo`, or give its VESTIBULE_DATA_DIR"
    )]
    NoDatabase(std::path::PathBuf),
    #[error("{0}")]
    Other(String),
}

/// What the store said, as the operator reads it.
pub(crate) fn explained(settings: &Settings, url: &str, error: &store::Error) -> StartError {
    match error {
        store::Error::SealedByAnother => StartError::SealKeyLost(settings.seal_key_path()),
        other => StartError::Other(other.explained(url)),
    }
}

/// The stores of a process: those of the settings, or private ones in the data folder that end with it.
pub struct Stores {
    pub database_url: String,
    pub migrate_url: String,
    pub redis_url: Option<String>,
    embedded: Option<Embedded>,
}

impl Stores {
    /// Starts what the settings do not name, or speaks to what another process of this data folder
    /// started. Blocks.
    pub fn open(settings: &Settings, durable: bool, progress: fn(&str)) -> Result<Self, StartError> {
        Self::of(settings, durable, "vestibule", progress, Embedded::join_or_start)
    }

    /// The same for a command beside a server: it makes no database of its own, where nobody would find again what
    /// it did.
    ///
    /// # Errors
    /// There is none: which settings are missing, and where it was looked for.
    pub fn join(settings: &Settings, progress: fn(&str)) -> Result<Self, StartError> {
        if settings.database.url.is_none() && !Embedded::has_cluster(&settings.data_dir)? {
            let folder =
                std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
            return Err(StartError::NoDatabase(folder));
        }
        Self::open(settings, true, progress)
    }

    /// The same for who serves: its data folder is its own, and `holder` says so to others. With a
    /// database of the settings several may serve, and share what the folder has.
    pub fn hold(settings: &Settings, holder: &'static str, progress: fn(&str)) -> Result<Self, StartError> {
        let shared = settings.database.url.is_some();
        let engines = if shared { Embedded::join_or_start } else { Embedded::start };
        Self::of(settings, true, holder, progress, engines)
    }

    fn of(
        settings: &Settings,
        durable: bool,
        holder: &'static str,
        progress: fn(&str),
        engines: fn(&EmbeddedOptions) -> Result<Embedded, EmbeddedError>,
    ) -> Result<Self, StartError> {
        let (given_db, given_redis) = (&settings.database.url, &settings.redis.url);
        let options = EmbeddedOptions {
            data_dir: settings.data_dir.clone(),
            postgres: given_db.is_none(),
            redis: given_redis.is_none(),
            durable,
            holder,
            progress,
        };
        let embedded = (options.postgres || options.redis).then(|| engines(&options)).transpose()?;
        let own = |pick: fn(&Embedded) -> Option<String>| embedded.as_ref().and_then(pick);
        let database_url = given_db
            .as_ref()
            .map(|url| url.reveal().clone())
            .or_else(|| own(|e| e.database_url.clone()))
            .ok_or_else(|| StartError::Other("no database".to_owned()))?;
        let migrate_url = settings
            .database
            .migrate_url
            .as_ref()
            .map_or_else(|| database_url.clone(), |url| url.reveal().clone());
        let redis_url =
            given_redis.as_ref().map(|url| url.reveal().clone()).or_else(|| own(|e| e.redis_url.clone()));
        Ok(Self { database_url, migrate_url, redis_url, embedded })
    }

    /// Is the Redis a private one of this very process? It begins with nothing.
    fn redis_is_fresh(&self) -> bool {
        self.embedded.as_ref().is_some_and(Embedded::started_redis)
    }
}

/// The broker's seam to the guarded sockets.
struct Guarded(Sockets);

fn fault(error: outbound::OutboundError) -> OutboundFault {
    OutboundFault { code: error.code(), why: error.to_string() }
}

impl Outbound for Guarded {
    fn may_call(&self, url: &str) -> Result<(), OutboundFault> {
        self.0.may_call(url).map_err(fault)
    }
    fn send(&self, request: OutboundRequest) -> Pending<'_, Result<OutboundAnswer, OutboundFault>> {
        Box::pin(async move {
            let (method, body) = match request.body {
                Some((kind, bytes)) => (outbound::Method::Post, Some((kind, bytes))),
                None => (outbound::Method::Get, None),
            };
            let mut headers = request.headers;
            headers.extend(body.as_ref().map(|(kind, _)| ("content-type", (*kind).to_owned())));
            let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
            let asked = outbound::Request { method, url: request.url, headers, body };
            match self.0.send(asked).await {
                Ok(answer) => Ok(OutboundAnswer {
                    status: answer.status,
                    location: answer.header("location").map(str::to_owned),
                    body: answer.body,
                }),
                Err(error) => Err(fault(error)),
            }
        })
    }
    fn txt<'a>(&'a self, name: &'a str) -> Pending<'a, Result<Vec<String>, OutboundFault>> {
        Box::pin(async move { self.0.txt(name).await.map_err(fault) })
    }
}

fn seals(settings: &Settings) -> Result<SealKeys, StartError> {
    let mut keys = seal_keys::load_or_create(&settings.seal_key_path(), &SystemChance)?.into_iter();
    let current = keys.next().ok_or_else(|| StartError::Other("no seal key".to_owned()))?;
    Ok(SealKeys::new((current.id, current.bytes), keys.map(|key| (key.id, key.bytes)).collect()))
}

/// The stores' database, opened.
pub(crate) async fn database(settings: &Settings, stores: &Stores) -> Result<Db, StartError> {
    let options = DbOptions {
        url: stores.database_url.clone(),
        pool_max: settings.database.pool_max,
        acquire_secs: settings.database.acquire_timeout_secs,
        statement_timeout_secs: settings.database.statement_timeout_secs,
        has_redis: stores.redis_url.is_some(),
    };
    let seals = Arc::new(seals(settings)?);
    let opened = Db::connect(&options, seals, Arc::new(SystemChance)).await;
    opened.map_err(|error| explained(settings, &stores.database_url, &error))
}

/// Everything a story works with.
pub async fn gateway(settings: &Settings, stores: &Stores) -> Result<Gateway, StartError> {
    let now = SystemClock.now();
    let db = database(settings, stores).await?;
    let told = |error: store::Error| explained(settings, &stores.database_url, &error);
    let act = PlatformAct { by: PlatformActor::Schedule, request_id: "start", at: now };
    let keys = SigningKeys::open(&db, act).await.map_err(|error| match error {
        KeysError::Store(error) => told(error),
        other => StartError::Other(other.to_string()),
    })?;
    let refresh = || Secret::new(random32(&SystemChance).to_vec());
    let refresh = db.platform_secret("refresh_key", now, refresh).await.map_err(told)?;
    let refresh: [u8; 32] = refresh
        .reveal()
        .as_slice()
        .try_into()
        .map_err(|_| StartError::Other("the refresh key is not 32 bytes".to_owned()))?;
    let refresh = Secret::new(refresh);
    let pass_key = PassKey::derived(&refresh)
        .ok_or_else(|| StartError::Other("no key for passes could be derived".to_owned()))?;
    let live = stores
        .redis_url
        .as_deref()
        .map(Live::connect)
        .transpose()
        .map_err(|error| StartError::Other(format!("redis.url: {error}")))?;
    if let Some(live) = &live {
        match live.eviction_policy().await {
            Ok(Some(policy)) if policy != "noeviction" => return Err(StartError::Evicts(policy)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "redis does not answer yet: sessions are served from postgres");
            }
        }
    }
    let name_servers = settings.egress.name_servers().map_err(|e| StartError::Other(e.to_string()))?;
    let sockets = Sockets::new(settings.egress.allow_loopback, Arc::new(SystemChance))
        .map_err(|e| StartError::Other(e.to_string()))?
        .asking(name_servers);
    Ok(Gateway {
        db,
        live,
        keys: Arc::new(keys),
        refresh_key: Arc::new(RefreshKey::new(refresh)),
        pass_key: Arc::new(pass_key),
        set_key: Arc::default(),
        chance: Arc::new(SystemChance),
        clock: || SystemClock.now(),
        outbound: Arc::new(Guarded(sockets)),
        links: Links::new(&settings.public_url),
        providers: Arc::default(),
        strangers: Arc::default(),
        uses: Arc::default(),
        feed: Arc::default(),
        acks: Arc::default(),
        requests: Arc::default(),
        lifetimes: Lifetimes {
            access_token_secs: settings.tokens.access_token_secs,
            code_secs: settings.tokens.code_secs,
            attempt_secs: ATTEMPT_SECS,
            refresh_idle_secs: settings.tokens.refresh_idle_secs,
            refresh_absolute_secs: settings.tokens.refresh_absolute_secs,
            session_idle_secs: settings.sessions.idle_secs,
            session_absolute_secs: settings.sessions.absolute_secs,
            scim_token_secs: settings.tokens.scim_token_secs,
            signing_key_rotate_secs: settings.tokens.signing_key_rotate_secs,
        },
        rates: Rates {
            credential_per_sec: settings.limits.credential_requests_per_sec,
            org_per_sec: settings.limits.org_requests_per_sec,
        },
        allow_loopback: settings.egress.allow_loopback,
    })
}

/// A person has this long at their identity provider, second factor included.
const ATTEMPT_SECS: i64 = 900;
/// In-flight requests get this long to end.
const DRAIN_SECS: u64 = 10;

pub async fn migrate(settings: &Settings, progress: fn(&str)) -> Result<(), StartError> {
    let stores = Stores::join(settings, progress)?;
    migrate_at(settings, &stores).await
}

/// Migrates our own private database; somebody else's is migrated by `vestibule migrate`, with the
/// rights that takes, before the server starts.
pub async fn migrate_own(settings: &Settings, stores: &Stores) -> Result<(), StartError> {
    if settings.database.url.is_none() || settings.database.migrate_url.is_some() {
        migrate_at(settings, stores).await?;
    }
    Ok(())
}

/// Brings the stores' database to this version.
pub async fn migrate_at(settings: &Settings, stores: &Stores) -> Result<(), StartError> {
    let done = store::migrate(&stores.migrate_url).await;
    done.map_err(|error| explained(settings, &stores.migrate_url, &error))
}

/// Serves on `settings.listen`, with the jobs beside it. The stores are migrated.
pub async fn serve(settings: &Settings, stores: &Stores) -> Result<Running, StartError> {
    if settings.insecure_loopback() {
        tracing::warn!(public_url = settings.public_url, "plain http on loopback: cookies are not Secure");
    }
    let gateway = gateway(settings, stores).await?;
    let addr = settings.listen;
    let data = web::Data::new(gateway.clone());
    let body_bytes_max = settings.limits.body_bytes_max;
    let body_deadline = http::late::BodyDeadline(Duration::from_secs(settings.limits.body_secs));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(body_bytes_max))
            .app_data(http::admin::BodyBytesMax(body_bytes_max))
            .app_data(body_deadline)
            .wrap(middleware::from_fn(http::witness::witness))
            .wrap(middleware::from_fn(http::late::hurry))
            .wrap(middleware::from_fn(http::guard::guard))
            .configure(http::configure)
    })
    .disable_signals()
    .shutdown_timeout(DRAIN_SECS);
    let server = match (&settings.tls.cert_file, &settings.tls.key_file) {
        (Some(cert), Some(key)) => {
            let config =
                crate::tls::server_config(cert, key).map_err(|e| StartError::Other(e.to_string()))?;
            server.bind_rustls_0_23(addr, config)
        }
        _ => server.bind(addr),
    }
    .map_err(|why| StartError::Listen { addr, why })?;
    let addr = server.addrs().first().copied().unwrap_or(addr);
    let server = server.run();
    let ops = settings.ops_listen.map(|addr| ops(addr, &gateway)).transpose()?;
    let (stop, stopped) = watch::channel(false);
    let running = Running {
        addr,
        server: server.handle(),
        ops,
        ended: tokio::spawn(server),
        jobs: tokio::spawn(jobs::run(
            gateway.clone(),
            (&settings.retention).into(),
            stores.redis_is_fresh(),
            stopped,
        )),
        gateway,
        stop,
    };
    tracing::info!(%addr, "serving");
    Ok(running)
}

/// The operator's listener: not for the public, so without TLS and on its own address.
fn ops(addr: SocketAddr, gateway: &Gateway) -> Result<ServerHandle, StartError> {
    let data = web::Data::new(gateway.clone());
    let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(http::configure_ops))
        .disable_signals()
        .workers(1)
        .bind(addr)
        .map_err(|why| StartError::Listen { addr, why })?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}
