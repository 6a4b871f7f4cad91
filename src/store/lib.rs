//! The gate and the ledgers: the only SQL and the only Redis of the house.
//! A ledger opens for an `OrgScope` alone, a scope is made by the gate alone, and a writing
//! transaction ends in `commit(Record)` or in nothing. No query here carries an org filter:
//! the policy is the filter (migrations/0002_enclosure.sql).

mod administrators;
mod apps;
mod apps_left;
mod apps_write;
mod codes;
mod connections;
mod directories;
mod directories_end;
mod domains;
mod explain;
mod feed;
mod gate;
mod glance;
mod groups;
mod holds;
mod holds_write;
mod idempotency;
mod keys;
mod known;
pub mod live;
mod logouts;
mod migrate;
mod months;
mod orgs;
mod outbox;
mod plans;
mod platform_record;
mod pool;
mod provisioning;
mod pulse;
mod quotas;
mod receipts;
mod record;
mod recover;
mod refresh_families;
mod refusals;
mod request_log;
mod request_log_write;
mod revocations;
mod scim_query;
mod scim_secrets;
mod scope;
mod seats;
mod service_accounts;
mod sessions;
mod sign_in_gifts;
mod signals;
mod signing_keys;
mod sizes;
mod stage;
mod stream_events;
mod streams;
mod sweep;
mod teams;
mod turns;
mod tx;
mod usage;
mod users;
mod webhooks;

pub use apps::{App, AppChange, AuthMethod, NewApp, Serves};
pub use apps_left::{APP_LEFT, Changed};
pub use codes::{CodeRow, NewCode};
pub use connections::{Connection, ConnectionKind, ConnectionState, NewConnection};
pub use directories::{Credential, Directory, Holder, NewCredential};
pub use domains::{Domain, DomainState};
pub use feed::{FEED_ROWS, FeedHead, FeedRow};
pub use gate::{Client, GateError, OrgRef};
pub use glance::ReadOn;
pub use groups::{Group, ListedGroup, MemberEdit};
pub use holds::{GUARDED_SECS, GuardFacts, HeldPerson, Hold, HoldReason, HoldState};
pub use idempotency::Reserved;
pub use keys::{KeyEnd, LastKey, PlatformKey};
pub use logouts::{AppTold, DueLogout, ToldByBackchannel, ToldByFeed, ToldByStream};
pub use migrate::migrate;
pub use months::{MONTHS_AHEAD, Months};
pub use orgs::{NewOrg, Org, OrgChange};
pub use outbox::{Delivery, DueDelivery};
pub use plans::{PLANS_MAX, Plan, PlanEnd, Quotas};
pub use platform_record::{PlatformAct, PlatformActor};
pub use provisioning::Membership;
pub use pulse::{Connections, Waiting};
pub use quotas::{Counted, Full, Room, counted};
pub use receipts::{EndingTimes, FeedAck, Receipt};
pub use record::{AuditFilter, EVENTS, EventRow};
pub use refresh_families::{FamilyRow, PassRow, TOUCHED_SECS};
pub use refusals::{NewRefusals, RefusalSample, Refusals};
pub use request_log::{
    BulkSeen, FailureSeen, KeptBody, LoggedFilter, LoggedRequest, LoggedRequestWhole, NewLogged,
    RequestBodies, RequestHead,
};
pub use request_log_write::LogBounds;
pub use revocations::{AsOf, Revoked};
pub use scim_query::{Either, Found, Position, Search, Sorting, Start};
pub use scim_secrets::NewScimAccess;
pub use scope::{
    AdminKind, Administrator, AppClient, Call, Door, Job, Operator, OrgFacts, OrgScope, ScimClient, ScimForm,
    Subject, Upstream, Visitor,
};
pub use seats::{Identity, departed_external_id, departed_identity};
pub use service_accounts::{NewServiceAccount, ServiceAccount, ServiceChange, ServiceGrant, ServiceRow};
pub use sessions::{MintRow, NewSession, SessionOf, SessionRow, SignIn, scopes_of};
pub use sign_in_gifts::Admission;
pub use signing_keys::{ListedSigningKey, NewSigningKey, SigningKeyRow, SigningKeysTx};
pub use stage::{Rehearsal, Stage};
pub use stream_events::{
    ACCOUNT_DISABLED, ACCOUNT_ENABLED, DueEvent, HELD_MAX, HELD_SECS_MAX, PAUSED_SECS, SESSION_REVOKED,
    STREAM_UPDATED, VERIFICATION,
};
pub use streams::{Stream, StreamSettings, StreamStatus};
pub use sweep::{BITE, SWEPT, Shelf};
pub use teams::{BY_API, GroupMapping, Team, TeamMember};
pub use tx::{FirstUse, OPENINGS, TenantRead, TenantTx};
pub use usage::UsageRow;
pub use users::{Adopted, NewUser, User, UserFilter};
pub use webhooks::{Webhook, WebhookChange, WebhookTarget};

use model::Chance;
use pool::Pool;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::{str::FromStr, sync::Arc, time::Duration};
use token::seal::SealKeys;

/// What can go wrong below the stories.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique key or reference says no; the text is the constraint's name.
    #[error("conflict on {0}")]
    Conflict(String),
    /// No connection in time, or the primary is away: refuse, never guess.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A lock, or a statement, took longer than it may, or two stood in each other's way and this one gave in.
    #[error("it took too long")]
    Late(#[source] sqlx::Error),
    /// A COMMIT without an answer: it may have happened.
    #[error("the commit got no answer")]
    InDoubt(#[source] sqlx::Error),
    /// One org has its share of the connections, and more requests than wait for one in time.
    #[error("too many requests of this org at once")]
    Crowded,
    /// The credential was revoked, or ran out, after its door had opened.
    #[error("the credential is no longer good")]
    CredentialGone,
    #[error("the org is {}", .0.as_str())]
    OrgClosed(model::org::OrgState),
    /// The keys at hand do not open what is stored.
    #[error("it was sealed with another seal key")]
    SealedByAnother,
    /// A story's own mistake: it took a seat or a key without having asked for room.
    #[error("something counted was to be made without room for it")]
    NoRoom,
    #[error("stored value of {0} is unreadable")]
    Corrupt(&'static str),
    /// A search of a directory's took longer than a statement may.
    #[error("the search took too long")]
    TooCostly,
    #[error("the database refused a statement")]
    Sql(#[source] sqlx::Error),
    #[error("migration failed: {0}")]
    Migrate(String),
    /// Everything was judged and rolled back, as it was asked for: what would have been written.
    #[error("a rehearsal, rolled back")]
    Rehearsed(Box<model::record::Record>),
    /// A story's own mistake, on the stage of a rehearsal.
    #[error("the stage of a rehearsal: {0}")]
    Stage(&'static str),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<token::seal::SealFault> for Error {
    fn from(_: token::seal::SealFault) -> Self {
        Self::Corrupt("seal key")
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) => {
                // 23505 unique_violation, 23503 foreign_key_violation
                match db.code().as_deref() {
                    Some("23505" | "23503") => Self::Conflict(db.constraint().unwrap_or_default().to_owned()),
                    Some(code) if gives_in(code) => Self::Late(error),
                    Some(code) if passes(code) => Self::Unavailable(error),
                    _ => Self::Sql(error),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Unavailable(error),
            _ => Self::Sql(error),
        }
    }
}

/// Did a lock or a statement of ours take too long, or stand in somebody's way? By SQLSTATE.
fn gives_in(code: &str) -> bool {
    // 57014 query_canceled (statement_timeout), 55P03 lock_not_available.
    matches!(code, "57014" | "55P03")
        // 40P01 deadlock_detected, 40001 serialization_failure: ours was the victim.
        || matches!(code, "40P01" | "40001")
}

/// Does this no of Postgres pass by itself, so that the same request succeeds when it comes again? By SQLSTATE.
fn passes(code: &str) -> bool {
    // The server goes away, comes up, or is a standby.
    matches!(code, "57P01" | "57P02" | "57P03" | "25006")
        // 08 connection exception, 53 insufficient resources: too many connections, a full disk. Not 53400: this
        // statement needs more than the server allows it.
        || code.starts_with("08")
        || code.starts_with("53") && code != "53400"
}

/// The way into Postgres. Its pool is private: a connection is only ever had inside a tenant's
/// transaction, or for one of the gate's functions.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    seals: Arc<SealKeys>,
    chance: Arc<dyn Chance>,
    turns: Arc<turns::Turns>,
    known: Arc<known::Known>,
    has_redis: bool,
}

/// A lock is waited for this long: whoever holds one longer is stuck, and who waits holds a connection.
const LOCK_TIMEOUT: &str = "2s";

/// How to reach Postgres. Connections wait at most `acquire_secs` for a free one.
pub struct DbOptions {
    pub url: String,
    pub pool_max: u32,
    pub acquire_secs: u64,
    pub statement_timeout_secs: u64,
    /// Is there a Redis to be told what ends sessions? Without one nothing waits for it.
    pub has_redis: bool,
}

impl Db {
    /// Connects as `vst_app`.
    pub async fn connect(options: &DbOptions, seals: Arc<SealKeys>, chance: Arc<dyn Chance>) -> Result<Self> {
        let connect = PgConnectOptions::from_str(&options.url)?.application_name("vestibule").options([
            ("role", "vst_app"),
            ("search_path", "vst"),
            ("statement_timeout", &format!("{}s", options.statement_timeout_secs)),
            ("lock_timeout", LOCK_TIMEOUT),
            // Statements here are short: compiling one takes longer than running it.
            ("jit", "off"),
        ]);
        let patience = Duration::from_secs(options.acquire_secs);
        let pool = Pool::open(connect.disable_statement_logging(), options.pool_max, patience).await?;
        migrate::refuse_unsafe_role(&pool).await?;
        let turns = turns::Turns::new(options.pool_max, patience);
        Ok(Self { pool, seals, chance, turns, known: Arc::default(), has_redis: options.has_redis })
    }

    /// The org that a pooled connection still carries outside any transaction: none, ever.
    pub async fn leaked_scope(&self) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT current_org()::text").fetch_one(&self.pool).await?)
    }

    /// The workers are about to end: see `Pool::keep_to_own`.
    pub async fn keep_to_own(&self) {
        self.pool.keep_to_own().await;
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub fn seals(&self) -> &SealKeys {
        &self.seals
    }
}

#[cfg(test)]
mod tests {
    use super::{gives_in, passes};

    #[test]
    fn a_server_that_has_no_room_is_asked_again_and_a_wrong_statement_is_not() {
        assert!(["53300", "53100", "08006", "57P03"].into_iter().all(passes));
        assert!(!["42601", "42501", "23505", "22P02", "55000"].into_iter().any(passes));
        let victims = ["57014", "55P03", "40P01", "40001"];
        assert!(victims.into_iter().all(gives_in) && !victims.into_iter().any(passes), "that is no outage");
        assert!(!["53300", "08006", "57P03", "42601", "40003"].into_iter().any(gives_in));
    }
}
