//! Audit, metering and what webhooks are due of them, as they are written (one statement inside the
//! act's own commit) and read.
//! The event row holds metadata and a leaf of salted commitments; the values and salts stand
//! beside it, sealed, so that one can be deleted and the leaf stays true.

use crate::{ACCOUNT_DISABLED, ACCOUNT_ENABLED, Error, Result, TenantRead, TenantTx};
use audit::leaf::{LeafMeta, commit, leaf};
use model::{
    Chance, Timestamp,
    act::{Act, USAGE_RECORDED},
    count::Series,
    ids::{EventId, Id, Kind, OrgId, UserId, WebhookId},
    record::{AuditEvent, Outcome, Record},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

const SALT_BYTES: usize = 16;

/// Events of the audit, by action and outcome, as they were committed.
pub static EVENTS: Series<2> = Series::new();

pub(crate) fn count(record: &Record) {
    for event in record.events() {
        EVENTS.add([event.action.as_str(), outcome(event.outcome)], 1);
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    }
}

#[derive(Default)]
struct Events {
    id: Vec<Uuid>,
    action: Vec<String>,
    outcome: Vec<String>,
    target_kind: Vec<Option<String>>,
    target_id: Vec<Option<String>>,
    leaf: Vec<Vec<u8>>,
    value_event: Vec<Uuid>,
    value_path: Vec<String>,
    value_sealed: Vec<Vec<u8>>,
    told: Vec<Uuid>,
    told_type: Vec<&'static str>,
    /// The webhook that the event is about, if it is about one.
    told_about: Vec<Option<Uuid>>,
}

/// Writes the record, and a delivery for each webhook that asks for one of its events or for a line of
/// usage that is new. A webhook is not told of itself.
pub(crate) async fn write(tx: &mut TenantTx, record: &Record) -> Result<()> {
    let origin = tx.origin().clone();
    let (org, seals, chance) = (tx.org(), tx.seals(), tx.chance());
    let mut rows = Events::default();
    for event in record.events() {
        push(&mut rows, event, tx, &seals, chance.as_ref())?;
    }
    let meters: Vec<String> = record.usage.iter().map(|u| u.meter.to_owned()).collect();
    let keys: Vec<String> = record.usage.iter().map(|u| u.natural_key.clone()).collect();
    let values: Vec<i64> = record.usage.iter().map(|u| u.value).collect();
    sqlx::query(
        "WITH kept AS (
             INSERT INTO audit_events (org_id, evt_id, at, actor_kind, actor_id, action, outcome,
                                       target_kind, target_id, request_id, session_id, leaf)
             SELECT $1, e.id, $2, $3, $4, e.action, e.outcome, e.target_kind, e.target_id, $5, $6, e.leaf
               FROM UNNEST($7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[])
                    AS e(id, action, outcome, target_kind, target_id, leaf)
         ), valued AS (
             INSERT INTO audit_values (org_id, evt_id, path, sealed)
             SELECT $1, v.id, v.path, v.sealed
               FROM UNNEST($13::uuid[], $14::text[], $15::bytea[]) AS v(id, path, sealed)
         ), metered AS (
             INSERT INTO usage_events (org_id, event_id, meter, value, at)
             SELECT $1, u.key, u.meter, u.value, $2
               FROM UNNEST($16::text[], $17::text[], $18::bigint[]) AS u(key, meter, value)
             ON CONFLICT DO NOTHING
             RETURNING meter, event_id
         ), told AS (
             SELECT event_type, evt_id, about, NULL AS meter, NULL AS usage_id
               FROM UNNEST($19::text[], $20::uuid[], $21::uuid[]) AS e(event_type, evt_id, about)
              UNION ALL
             SELECT $22, NULL, NULL, meter, event_id FROM metered
         ), due AS (
             SELECT (left(($7::uuid[])[1]::text, 15) || right(gen_random_uuid()::text, 21))::uuid AS del_id,
                    whk_id, event_type, evt_id, meter, usage_id
               FROM webhooks
               JOIN told ON events && ARRAY['*', event_type, split_part(event_type, '.', 1) || '.*']
                        AND whk_id IS DISTINCT FROM about
              WHERE state = 'enabled'
         ), waiting AS (
             INSERT INTO pending (kind, org_id, item_id, due_at)
             SELECT 'delivery', $1, del_id, $2 FROM due
         )
         INSERT INTO deliveries (org_id, del_id, whk_id, event_type, evt_id, meter, usage_id, state, next_at,
                                 created_at)
         SELECT $1, del_id, whk_id, event_type, evt_id, meter, usage_id, 'waiting', $2, $2
           FROM due",
    )
    .bind(org.uuid())
    .bind(OffsetDateTime::from(origin.at))
    .bind(origin.actor.kind)
    .bind(&origin.actor.id)
    .bind(&origin.request_id)
    .bind(&origin.session)
    .bind(&rows.id)
    .bind(&rows.action)
    .bind(&rows.outcome)
    .bind(&rows.target_kind)
    .bind(&rows.target_id)
    .bind(&rows.leaf)
    .bind(&rows.value_event)
    .bind(&rows.value_path)
    .bind(&rows.value_sealed)
    .bind(&keys)
    .bind(&meters)
    .bind(&values)
    .bind(&rows.told_type)
    .bind(&rows.told)
    .bind(&rows.told_about)
    .bind(USAGE_RECORDED)
    .execute(tx.sql())
    .await?;
    for (kind, acts) in ACCOUNTS {
        let of = |event: &AuditEvent| event.outcome == Outcome::Done && acts.contains(&event.action);
        let person = |event: &AuditEvent| {
            let (_, id) = event.target.as_ref().filter(|(what, _)| *what == "user")?;
            Some(id.parse::<UserId>().ok()?.uuid())
        };
        let people: Vec<Uuid> = record.events().filter(|event| of(event)).filter_map(person).collect();
        if !people.is_empty() {
            tx.announce(kind, &people).await?;
        }
    }
    Ok(())
}

/// What of the record the apps' streams are told.
const ACCOUNTS: [(&str, &[Act]); 2] = [
    (ACCOUNT_DISABLED, &[Act::UserDeactivated, Act::UserDeleted]),
    (ACCOUNT_ENABLED, &[Act::UserReactivated]),
];

fn push(
    rows: &mut Events,
    event: &AuditEvent,
    tx: &TenantTx,
    seals: &SealKeys,
    chance: &dyn Chance,
) -> Result<()> {
    let origin = tx.origin();
    let id = EventId::new(origin.at, chance);
    let mut values = event.values.clone();
    values.extend(origin.ip.clone().map(|ip| ("ip", Value::from(ip))));
    values.extend(origin.user_agent.clone().map(|ua| ("user_agent", Value::from(ua))));
    let mut commitments = Vec::with_capacity(values.len());
    for (path, value) in &values {
        let mut salt = [0; SALT_BYTES];
        chance.fill(&mut salt);
        commitments.push((*path, commit(&salt, path, value)));
        let mut plain = salt.to_vec();
        plain.extend(serde_json::to_vec(value).map_err(|_| Error::Corrupt("audit value"))?);
        rows.value_event.push(id.uuid());
        rows.value_path.push((*path).to_owned());
        rows.value_sealed.push(seals.seal("audit.value", &binding(tx.org(), id, path), &plain, chance)?);
    }
    let meta = LeafMeta {
        event: id,
        org: tx.org(),
        at: origin.at,
        actor: &origin.actor,
        action: event.action.as_str(),
        outcome: event.outcome,
        target: event.target.as_ref().map(|(kind, id)| (*kind, id.as_str())),
        request_id: &origin.request_id,
        session: origin.session.as_deref(),
    };
    rows.id.push(id.uuid());
    rows.action.push(event.action.as_str().to_owned());
    rows.outcome.push(outcome(event.outcome).to_owned());
    rows.target_kind.push(event.target.as_ref().map(|t| t.0.to_owned()));
    rows.target_id.push(event.target.as_ref().map(|t| t.1.clone()));
    rows.leaf.push(leaf(&meta, &commitments));
    if event.action.is_told() {
        rows.told.push(id.uuid());
        rows.told_type.push(event.action.as_str());
        let about = event.target.as_ref().and_then(|(_, id)| id.parse::<WebhookId>().ok());
        rows.told_about.push(about.map(|id| id.uuid()));
    }
    Ok(())
}

/// What a sealed value is bound to: it cannot be moved to another event, field or org.
fn binding(org: OrgId, event: EventId, path: &str) -> Vec<u8> {
    let mut bound = org.uuid().as_bytes().to_vec();
    bound.extend(event.uuid().as_bytes());
    bound.extend(path.as_bytes());
    bound
}

/// Narrowing of the audit list; every field that is set must match.
#[derive(Debug, Default, Clone)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Only events older than this one: lists run from the newest.
    pub before: Option<EventId>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
pub struct EventRow {
    pub id: EventId,
    pub at: Timestamp,
    pub actor: ActorRow,
    /// Such as `login.accepted`.
    pub action: String,
    #[schemars(extend("enum" = ["done", "refused"]))]
    pub outcome: String,
    pub target: Option<ActorRow>,
    pub request_id: String,
    pub session_id: Option<String>,
    /// What the action is told with, by name. What has been redacted is left out.
    pub values: Map<String, Value>,
}

/// Who did it, or what it was done to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "AuditParty")]
pub struct ActorRow {
    /// Such as `user`, `org_key`, `connection`.
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

/// Events with what is left of their values, narrowed by what follows.
macro_rules! events_where {
    ($narrowed:literal) => {
        concat!(
            "SELECT e.evt_id, e.at, e.actor_kind, e.actor_id, e.action, e.outcome, e.target_kind, e.target_id,
                    e.request_id, e.session_id, v.paths, v.sealed
               FROM audit_events e
               LEFT JOIN LATERAL (SELECT array_agg(path ORDER BY path) AS paths,
                                         array_agg(sealed ORDER BY path) AS sealed
                                    FROM audit_values WHERE evt_id = e.evt_id) v ON true
              WHERE ",
            $narrowed
        )
    };
}

#[derive(sqlx::FromRow)]
struct StoredEvent {
    evt_id: Uuid,
    at: OffsetDateTime,
    actor_kind: String,
    actor_id: String,
    action: String,
    outcome: String,
    target_kind: Option<String>,
    target_id: Option<String>,
    request_id: String,
    session_id: Option<String>,
    paths: Option<Vec<String>>,
    sealed: Option<Vec<Vec<u8>>>,
}

impl TenantRead {
    /// One page of this org's events, newest first.
    pub async fn audit_page(
        &mut self,
        filter: &AuditFilter,
        limit: i64,
        seals: &SealKeys,
    ) -> Result<Vec<EventRow>> {
        let rows: Vec<StoredEvent> = sqlx::query_as(events_where!(
            "($1::text IS NULL OR e.actor_id = $1)
                AND ($2::text IS NULL OR e.action = $2)
                AND ($3::text IS NULL OR e.target_id = $3)
                AND ($4::timestamptz IS NULL OR e.at >= $4)
                AND ($5::timestamptz IS NULL OR e.at < $5)
                AND ($6::uuid IS NULL OR e.evt_id < $6)
              ORDER BY e.evt_id DESC
              LIMIT $7"
        ))
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(&filter.target)
        .bind(filter.from.map(OffsetDateTime::from))
        .bind(filter.to.map(OffsetDateTime::from))
        .bind(filter.before.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let org = self.org();
        rows.into_iter().map(|row| row.opened(org, seals)).collect()
    }

    /// The events of these ids, born at these instants; fewer, where the record has them no more.
    pub(crate) async fn events_born(
        &mut self,
        ids: &[Uuid],
        at: &[OffsetDateTime],
        seals: &SealKeys,
    ) -> Result<Vec<EventRow>> {
        let rows: Vec<StoredEvent> = sqlx::query_as(events_where!("e.evt_id = ANY($1) AND e.at = ANY($2)"))
            .bind(ids)
            .bind(at)
            .fetch_all(self.sql())
            .await?;
        let org = self.org();
        rows.into_iter().map(|row| row.opened(org, seals)).collect()
    }
}

impl StoredEvent {
    fn opened(self, org: OrgId, seals: &SealKeys) -> Result<EventRow> {
        let id = EventId::from_uuid(self.evt_id);
        let mut values = Map::new();
        for (path, sealed) in self.paths.unwrap_or_default().into_iter().zip(self.sealed.unwrap_or_default())
        {
            let plain = seals
                .open("audit.value", &binding(org, id, &path), &sealed)
                .map_err(|_| Error::Corrupt("audit value"))?;
            let json = plain.reveal().get(SALT_BYTES..).ok_or(Error::Corrupt("audit value"))?;
            let value = serde_json::from_slice(json).map_err(|_| Error::Corrupt("audit value"))?;
            values.insert(path, value);
        }
        Ok(EventRow {
            id,
            at: self.at.into(),
            actor: ActorRow { kind: self.actor_kind, id: self.actor_id },
            action: self.action,
            outcome: self.outcome,
            target: self.target_kind.zip(self.target_id).map(|(kind, id)| ActorRow { kind, id }),
            request_id: self.request_id,
            session_id: self.session_id,
            values,
        })
    }
}

/// For columns that hold an optional id.
pub(crate) fn optional<K: Kind>(id: Option<Id<K>>) -> Option<Uuid> {
    id.map(|id| id.uuid())
}
