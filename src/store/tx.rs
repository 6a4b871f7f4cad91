//! No query without a scope; no commit without a record; no write through a reader.
//! The org and the reach ride in the BEGIN message (no round trip of their own) and are gone with
//! the transaction. Dropping either kind rolls back.

use crate::{Db, Door, Error, OrgScope, Result, ScimClient, pool::Lease, record, stage::Within, turns::Turn};
use model::{
    Timestamp,
    count::Durations,
    ids::OrgId,
    org::OrgState,
    record::{AuditEvent, Origin, Record},
};
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Instant,
};
use time::OffsetDateTime;
use token::seal::SealKeys;

/// A snapshot of one org to read from.
pub struct TenantRead {
    lease: Within,
    org: OrgId,
    now: Timestamp,
    /// Given back after the connection is.
    _turn: Option<Turn>,
}

/// A transaction of one org. Reads as `TenantRead` does; its writes are kept by `commit` alone.
pub struct TenantTx {
    read: TenantRead,
    origin: Origin,
    seals: Arc<SealKeys>,
    chance: Arc<dyn model::Chance>,
    name: &'static str,
    has_redis: bool,
    is_rehearsal: bool,
    /// Known at the door: its plan bounds no seats.
    has_unbounded_seats: bool,
    /// What the record will say beside what the story does.
    besides: Vec<AuditEvent>,
}

/// Proof that a single-use key was used for the first time, in this very transaction.
#[derive(Debug)]
pub struct FirstUse(());

/// What becomes of what is done in a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Something,
}

impl Db {
    /// A reading transaction, by a credential that is good as it opens. Errors as those of `write`.
    pub async fn read<D: Door>(&self, scope: &OrgScope<D>, name: &'static str) -> Result<TenantRead> {
        if let Some(stage) = scope.door().stage() {
            let lease = stage.read().await?;
            return Ok(TenantRead { lease, org: scope.org(), now: scope.now(), _turn: None });
        }
        let turn = self.turn(scope, Kept::Nothing).await?;
        self.read_in(turn, scope, name).await
    }

    /// The same, in a turn that was had for what came before.
    pub(crate) async fn read_in<D: Door>(
        &self,
        turn: Option<Turn>,
        scope: &OrgScope<D>,
        name: &'static str,
    ) -> Result<TenantRead> {
        tracing::trace!(transaction = name, "read");
        let lease = match scope.door().credential() {
            None => self.begin(scope.opening("BEGIN READ ONLY")).await?,
            Some(credential) => {
                let (lease, row) = self.enter::<(Option<String>,)>(scope.looking(credential)).await?;
                admitted::<D>(row.and_then(|(state,)| state).as_deref())?;
                lease
            }
        };
        Ok(TenantRead { lease: Within::Own(lease), org: scope.org(), now: scope.now(), _turn: turn })
    }

    /// A writing transaction, by a credential that is good now and until the commit: whoever revokes it
    /// waits. `Error::CredentialGone` and `Error::OrgClosed` when it has been meanwhile.
    pub async fn write<D: Door>(&self, scope: &OrgScope<D>, name: &'static str) -> Result<TenantTx> {
        let Some(credential) = scope.door().credential() else { return self.write_after(scope, name).await };
        if let Some(stage) = scope.door().stage() {
            let (within, has_unbounded_seats) = stage.write().await?;
            return Ok(TenantTx { has_unbounded_seats, ..self.writing(scope, name, (None, within)) });
        }
        let turn = self.turn(scope, Kept::Something).await?;
        let (lease, entered) = self.enter::<Entered>(scope.entering("BEGIN", credential)).await?;
        let entered = entered.ok_or(Error::CredentialGone)?;
        admitted::<D>(entered.state.as_deref())?;
        let tx = self.writing(scope, name, (turn, Within::Own(lease)));
        Ok(TenantTx { has_unbounded_seats: entered.has_unbounded_seats, ..tx })
    }

    /// What follows an act that is committed, whatever became of the credential meanwhile: its
    /// bookkeeping alone.
    pub async fn write_after<D: Door>(&self, scope: &OrgScope<D>, name: &'static str) -> Result<TenantTx> {
        let turn = self.turn(scope, Kept::Something).await?;
        let lease = self.begin(scope.opening("BEGIN")).await?;
        Ok(self.writing(scope, name, (turn, Within::Own(lease))))
    }

    /// A writing transaction by no credential of the org's, and what it asks first, in one trip: `question` is a
    /// call of a function with typed values alone, because the message that opens binds none. Its row comes as text,
    /// of which sqlx does not read every instant: those are asked for as `micros`.
    pub(crate) async fn write_asking<D: Door, R>(
        &self,
        scope: &OrgScope<D>,
        name: &'static str,
        question: &str,
    ) -> Result<(TenantTx, Option<R>)>
    where
        R: for<'r> FromRow<'r, PgRow>,
    {
        let turn = self.turn(scope, Kept::Something).await?;
        let (lease, row) = self.enter(format!("{}; {question}", scope.opening("BEGIN"))).await?;
        Ok((self.writing(scope, name, (turn, Within::Own(lease))), row))
    }

    fn writing<D: Door>(
        &self,
        scope: &OrgScope<D>,
        name: &'static str,
        (turn, lease): (Option<Turn>, Within),
    ) -> TenantTx {
        tracing::trace!(transaction = name, "write");
        TenantTx {
            read: TenantRead { lease, org: scope.org(), now: scope.now(), _turn: turn },
            origin: scope.origin().clone(),
            seals: self.seals.clone(),
            chance: self.chance.clone(),
            name,
            has_redis: self.has_redis,
            is_rehearsal: scope.door().is_rehearsal(),
            has_unbounded_seats: false,
            besides: Vec::new(),
        }
    }

    /// Who is on a stage has its turn, and comes here only by a way that leads past it.
    fn is_off_stage<D: Door>(scope: &OrgScope<D>) -> Result<()> {
        scope.door().stage().map_or(Ok(()), |_| Err(Error::Stage("this way leads past it")))
    }

    /// For so many operations on a stage.
    pub(crate) async fn turn_to_rehearse(
        &self,
        scope: &OrgScope<ScimClient>,
        operations: u32,
    ) -> Result<Turn> {
        Self::is_off_stage(scope)?;
        self.turns.take_for_rehearsal(scope.org(), operations).await
    }

    /// Whether as many requests of this org's directories wait on this node as may: one more would wait for long, or in
    /// vain.
    pub fn is_backed_up(&self, scope: &OrgScope<ScimClient>) -> bool {
        self.turns.is_backed_up(scope.org())
    }

    pub(crate) async fn turn<D: Door>(&self, scope: &OrgScope<D>, kept: Kept) -> Result<Option<Turn>> {
        Self::is_off_stage(scope)?;
        let is_known = scope.door().is_known(kept == Kept::Something);
        self.turns.take_by(D::PASSAGE, scope.org(), is_known).await
    }
}

/// From the wish for a transaction to its first statement: the wait for a connection is in it.
pub static OPENINGS: Durations<0> = Durations::new();

fn opened(wished: Instant) {
    OPENINGS.note([], u64::try_from(wished.elapsed().as_micros()).unwrap_or(u64::MAX));
}

/// Whether the org's state lets this door in; no state is that of a credential which is good no more.
pub(crate) fn admitted<D: Door>(state: Option<&str>) -> Result<()> {
    let state = OrgState::parse(state.ok_or(Error::CredentialGone)?).ok_or(Error::Corrupt("org state"))?;
    if state.admits(D::PASSAGE) { Ok(()) } else { Err(Error::OrgClosed(state)) }
}

/// What is known once a credential's door is held.
#[derive(sqlx::FromRow)]
pub(crate) struct Entered {
    /// None: the credential is good no more.
    pub(crate) state: Option<String>,
    pub(crate) has_unbounded_seats: bool,
}

impl Db {
    pub(crate) async fn begin(&self, opening: String) -> Result<Lease> {
        let wished = Instant::now();
        let mut lease = self.pool.lease().await?;
        lease.begin(opening).await?;
        opened(wished);
        Ok(lease)
    }

    pub(crate) async fn enter<R>(&self, opening: String) -> Result<(Lease, Option<R>)>
    where
        R: for<'r> FromRow<'r, PgRow>,
    {
        let wished = Instant::now();
        let mut lease = self.pool.lease().await?;
        let row = lease.begin_asking(opening).await?;
        opened(wished);
        Ok((lease, row))
    }
}

impl TenantRead {
    pub(crate) fn sql(&mut self) -> &mut PgConnection {
        &mut self.lease
    }
    /// The org of this transaction: for the `org_id` column of inserts.
    pub const fn org(&self) -> OrgId {
        self.org
    }
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}

impl Deref for TenantTx {
    type Target = TenantRead;
    fn deref(&self) -> &TenantRead {
        &self.read
    }
}
impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut TenantRead {
        &mut self.read
    }
}

impl TenantTx {
    pub(crate) fn seals(&self) -> Arc<SealKeys> {
        self.seals.clone()
    }
    pub(crate) fn chance(&self) -> Arc<dyn model::Chance> {
        self.chance.clone()
    }
    pub(crate) const fn has_redis(&self) -> bool {
        self.has_redis
    }
    /// Does the org's plan bound no seats? False where nothing is known.
    pub const fn has_unbounded_seats(&self) -> bool {
        self.has_unbounded_seats
    }
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
    /// To be recorded with the act, if it is committed: what the act has brought about without being it.
    pub fn also(&mut self, event: AuditEvent) {
        self.besides.push(event);
    }

    /// Remembers single-use keys, each until its time, at once. A second use of any, on any node, is
    /// refused by the primary key; a login that fails later rolls this back and burns nothing.
    pub async fn first_use(&mut self, once: &[(String, Timestamp)]) -> Result<Option<FirstUse>> {
        let org = self.org().uuid();
        let keys: Vec<&str> = once.iter().map(|(key, _)| key.as_str()).collect();
        let until: Vec<OffsetDateTime> = once.iter().map(|(_, until)| OffsetDateTime::from(*until)).collect();
        let inserted = sqlx::query(
            "INSERT INTO first_uses (org_id, single_use_key, until)
             SELECT $1, once.key, once.until
               FROM UNNEST($2::text[], $3::timestamptz[]) AS once(key, until)
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(keys)
        .bind(until)
        .execute(self.sql())
        .await?;
        let all = usize::try_from(inserted.rows_affected()).is_ok_and(|rows| rows == once.len());
        Ok(all.then_some(FirstUse(())))
    }

    /// Keeps everything, with its record: audit events, usage and deliveries in the same commit. A rehearsal
    /// keeps nothing, but for what is rehearsed after it (see `Db::rehearsal`), and answers `Error::Rehearsed`, so that
    /// no story goes on to tell anybody.
    pub async fn commit(mut self, mut record: Record) -> Result<()> {
        record.more.append(&mut self.besides);
        record::write(&mut self, &record).await?;
        if self.is_rehearsal {
            self.read.lease.rehearsed().await?;
            return Err(Error::Rehearsed(Box::new(record)));
        }
        let name = self.name;
        self.read.lease.own()?.commit().await?;
        record::count(&record);
        tracing::debug!(transaction = name, action = record.first.action.as_str(), "committed");
        Ok(())
    }

    /// For jobs whose work is no act of anybody: expiry sweeps, delivery bookkeeping. Its callers
    /// are pinned by tests/walls.rs.
    pub async fn commit_housekeeping(self) -> Result<()> {
        if self.is_rehearsal {
            return Err(Error::Stage("nothing of a rehearsal is kept"));
        }
        self.read.lease.own()?.commit().await
    }
}
