//! What a directory asked and was answered, as it is kept. Ids, times and codes stand open, so that a list
//! can be narrowed; paths, filters, details and bodies hold people's data and are sealed. No test of ids is
//! made here: whom a request names is what its sender said.

use crate::{Error, Result, TenantRead};
use model::{
    Timestamp,
    ids::{DirectoryId, GroupId, KeyId, LoggedId, OrgId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

pub(crate) const HEAD: &str = "scim.request.head";
pub(crate) const BODIES: &str = "scim.request.bodies";

/// What is sealed of a request and shown in lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestHead {
    pub path: String,
    /// As it was sent, but for secrets.
    pub query: Option<String>,
    pub user_agent: Option<String>,
    /// Of RFC 7644 3.12, where it was refused.
    pub scim_type: Option<String>,
    /// The words of the refusal, as the directory was told.
    pub detail: Option<String>,
    /// The groups that it names, or made.
    pub groups: Vec<GroupId>,
    /// How many resources a list has in all.
    pub found: Option<i64>,
    pub bulk: Option<BulkSeen>,
}

/// What became of a bulk request's operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkSeen {
    /// How many were done, whatever became of them.
    pub operations: u32,
    pub failed: u32,
    /// Those that failed, at most 100.
    pub failures: Vec<FailureSeen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureSeen {
    /// Its place in the answer, from 0.
    pub index: u32,
    pub method: String,
    #[schemars(extend("enum" = ["User", "Group"]))]
    pub resource: String,
    pub status: u16,
    pub code: String,
    pub detail: String,
}

/// A body as it is kept: up to 16 KiB of it, without passwords and credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptBody {
    pub text: String,
    /// How long it was.
    pub bytes: u32,
    /// Is its end left out, or what in it is no JSON?
    pub cut: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestBodies {
    pub request: Option<KeptBody>,
    pub answer: Option<KeptBody>,
}

/// A request that is to be kept.
#[derive(Clone, Debug)]
pub struct NewLogged {
    pub id: LoggedId,
    pub at: Timestamp,
    pub directory: DirectoryId,
    pub key: KeyId,
    pub method: String,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub request_id: String,
    pub duration_ms: i64,
    pub dry_run: bool,
    pub held: bool,
    pub lost_before: i64,
    /// How many requests it stands for.
    pub times: i64,
    pub users: Vec<UserId>,
    pub head: RequestHead,
    pub bodies: RequestBodies,
}

/// A request of a directory's, as it is listed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoggedRequest")]
pub struct LoggedRequest {
    pub id: LoggedId,
    /// When it came.
    pub at: Timestamp,
    pub method: String,
    /// `null`: the connection broke before its answer; what it asked may have been done.
    pub status: Option<u16>,
    /// Of a refusal, or of a bulk request's first operation that failed: a row in docs/REFUSALS.md.
    pub code: Option<String>,
    /// The `X-Request-Id` of its answer.
    pub request_id: String,
    /// From its head to its answer.
    pub duration_ms: i64,
    /// The token that it showed, or the secret that its token was fetched with.
    pub key_id: KeyId,
    /// Was it a dry run, of which nothing is kept?
    pub dry_run: bool,
    /// Was it, or an operation of it, held by the blast guard?
    pub held: bool,
    /// Requests of the directory before this one that the log could not keep.
    pub lost_before: i64,
    /// How many requests it stands for: more than 1 where the rate limit refused as many within a second. It
    /// shows the first of them.
    pub times: i64,
    /// The people whom it names, or made; at most 100.
    pub users: Vec<UserId>,
    #[serde(flatten)]
    pub head: RequestHead,
}

/// A request with its bodies.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LoggedRequestWhole")]
pub struct LoggedRequestWhole {
    #[serde(flatten)]
    pub request: LoggedRequest,
    /// What it sent; `null` when it sent nothing, or was refused before its body was read.
    pub request_body: Option<KeptBody>,
    /// What it was answered; `null` where a read succeeded: what it showed is the directory itself.
    pub answer_body: Option<KeptBody>,
}

/// Narrowing of the list; every field that is set must match.
#[derive(Clone, Debug, Default)]
pub struct LoggedFilter {
    pub status: Option<u16>,
    pub method: Option<&'static str>,
    pub user: Option<UserId>,
    pub failed: Option<bool>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Only requests older than this one: the list runs from the newest.
    pub before: Option<LoggedId>,
}

macro_rules! columns {
    () => {
        "SELECT r.req_id, r.at, r.method, r.status, r.code, r.key_id, r.request_id, r.duration_ms, r.dry_run,
                r.held, r.lost_before, r.times, r.users, r.head"
    };
}

/// A page of the list, from what follows.
macro_rules! page {
    ($from:literal) => {
        concat!(
            columns!(),
            $from,
            " AND r.req_id < $2
              AND r.req_id >= $3
              AND ($4::timestamptz IS NULL OR r.at >= $4)
              AND ($5::timestamptz IS NULL OR r.at < $5)
              AND ($6::boolean IS NULL OR $6 = (r.status IS NULL OR r.status >= 400 OR r.code IS NOT NULL))
              AND ($7::integer IS NULL OR r.status = $7)
              AND ($8::text IS NULL OR r.method = $8)
            ORDER BY r.req_id DESC
            LIMIT $9"
        )
    };
}

#[derive(sqlx::FromRow)]
struct Stored {
    req_id: Uuid,
    at: OffsetDateTime,
    method: String,
    status: Option<i32>,
    code: Option<String>,
    key_id: Uuid,
    request_id: String,
    duration_ms: i64,
    dry_run: bool,
    held: bool,
    lost_before: i64,
    times: i64,
    users: Vec<Uuid>,
    head: Vec<u8>,
}

impl Stored {
    fn opened(self, org: OrgId, directory: DirectoryId, seals: &SealKeys) -> Result<LoggedRequest> {
        let id = LoggedId::from_uuid(self.req_id);
        Ok(LoggedRequest {
            id,
            at: self.at.into(),
            method: self.method,
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            code: self.code,
            request_id: self.request_id,
            duration_ms: self.duration_ms,
            key_id: KeyId::from_uuid(self.key_id),
            dry_run: self.dry_run,
            held: self.held,
            lost_before: self.lost_before,
            times: self.times,
            users: self.users.into_iter().map(UserId::from_uuid).collect(),
            head: opened(HEAD, &binding(org, directory, id), &self.head, seals)?,
        })
    }
}

fn opened<T: DeserializeOwned>(purpose: &str, bound: &[u8], sealed: &[u8], seals: &SealKeys) -> Result<T> {
    let unreadable = || Error::Corrupt("logged request");
    let plain = seals.open(purpose, bound, sealed).map_err(|_| unreadable())?;
    serde_json::from_slice(plain.reveal()).map_err(|_| unreadable())
}

/// What is sealed is bound to: it cannot be moved to another org, directory or request.
pub(crate) fn binding(org: OrgId, directory: DirectoryId, id: LoggedId) -> Vec<u8> {
    [org.uuid(), directory.uuid(), id.uuid()].iter().flat_map(|id| *id.as_bytes()).collect()
}

/// The narrowed list, by the index that has it in order.
const fn page_sql(filter: &LoggedFilter) -> &'static str {
    match (filter.user, filter.failed) {
        (None, None | Some(false)) => page!(" FROM scim_requests r WHERE r.dir_id = $1"),
        (None, Some(true)) => page!(
            " FROM scim_requests r WHERE r.dir_id = $1
              AND (r.status IS NULL OR r.status >= 400 OR r.code IS NOT NULL)"
        ),
        (Some(_), _) => page!(
            " FROM scim_request_people p
              JOIN scim_requests r USING (org_id, dir_id, req_id)
             WHERE p.dir_id = $1
              AND p.subject = $10
              AND p.req_id < $2
              AND p.req_id >= $3"
        ),
    }
}

impl TenantRead {
    /// One page of a directory's requests, newest first.
    pub async fn logged_requests(
        &mut self,
        directory: DirectoryId,
        filter: &LoggedFilter,
        limit: i64,
        seals: &SealKeys,
    ) -> Result<Vec<LoggedRequest>> {
        // Ids sort by birth, to the millisecond.
        let after_it = |to: Timestamp| LoggedId::earliest(to.plus_secs(1)).uuid();
        let end = filter.to.map_or(Uuid::max(), after_it);
        let end = filter.before.map_or(end, |before| before.uuid().min(end));
        let begin = filter.from.map_or(Uuid::nil(), |from| LoggedId::earliest(from).uuid());
        let query = sqlx::query_as::<_, Stored>(page_sql(filter))
            .bind(directory.uuid())
            .bind(end)
            .bind(begin)
            .bind(filter.from.map(OffsetDateTime::from))
            .bind(filter.to.map(OffsetDateTime::from))
            .bind(filter.failed)
            .bind(filter.status.map(i32::from))
            .bind(filter.method)
            .bind(limit);
        let query = match filter.user {
            Some(user) => query.bind(user.uuid()),
            None => query,
        };
        let rows = query.fetch_all(self.sql()).await?;
        let org = self.org();
        rows.into_iter().map(|row| row.opened(org, directory, seals)).collect()
    }

    /// One request of a directory's, with its bodies.
    pub async fn logged_request(
        &mut self,
        directory: DirectoryId,
        id: LoggedId,
        seals: &SealKeys,
    ) -> Result<Option<LoggedRequestWhole>> {
        #[derive(sqlx::FromRow)]
        struct Whole {
            #[sqlx(flatten)]
            request: Stored,
            bodies: Vec<u8>,
        }
        let sql =
            concat!(columns!(), ", r.bodies FROM scim_requests r WHERE r.dir_id = $1 AND r.req_id = $2");
        let query = sqlx::query_as::<_, Whole>(sql).bind(directory.uuid()).bind(id.uuid());
        let row = query.fetch_optional(self.sql()).await?;
        let Some(row) = row else { return Ok(None) };
        let org = self.org();
        let bodies: RequestBodies = opened(BODIES, &binding(org, directory, id), &row.bodies, seals)?;
        let request = row.request.opened(org, directory, seals)?;
        Ok(Some(LoggedRequestWhole { request, request_body: bodies.request, answer_body: bodies.answer }))
    }
}
