//! How the request log is written and how it is kept small: rows and what they take are summed up with each
//! write, by directory, so that whether there is too much is one look and no count.

use crate::{
    BITE, Error, Result, TenantTx,
    request_log::{BODIES, HEAD, NewLogged, binding},
};
use model::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a row takes with its indexes, about, in bytes. It must say the same when the row goes.
macro_rules! weight {
    () => {
        "400 + octet_length(head) + octet_length(bodies) + 150 * cardinality(users)"
    };
}
pub(crate) use weight;

/// How much of each directory's log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    pub rows_max: i64,
    pub bytes_max: i64,
}

#[derive(Default)]
struct Rows {
    directory: Vec<Uuid>,
    id: Vec<Uuid>,
    at: Vec<OffsetDateTime>,
    method: Vec<String>,
    status: Vec<Option<i32>>,
    code: Vec<Option<String>>,
    key: Vec<Uuid>,
    request_id: Vec<String>,
    duration_ms: Vec<i64>,
    dry_run: Vec<bool>,
    held: Vec<bool>,
    lost_before: Vec<i64>,
    times: Vec<i64>,
    head: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    naming: Vec<Uuid>,
    named: Vec<Uuid>,
}

impl TenantTx {
    /// Keeps these requests, but for those of a directory that is gone. Their commit does not wait for the disk.
    /// Answers whether a directory has more than it may.
    pub async fn keep_requests(&mut self, new: &[NewLogged], bounds: &LogBounds) -> Result<bool> {
        let (org, seals, chance) = (self.org(), self.seals(), self.chance());
        let mut rows = Rows::default();
        let plain = |value: serde_json::Result<Vec<u8>>| value.map_err(|_| Error::Corrupt("logged request"));
        for one in new {
            let bound = binding(org, one.directory, one.id);
            let head = plain(serde_json::to_vec(&one.head))?;
            let bodies = plain(serde_json::to_vec(&one.bodies))?;
            rows.directory.push(one.directory.uuid());
            rows.id.push(one.id.uuid());
            rows.at.push(one.at.into());
            rows.method.push(one.method.clone());
            rows.status.push(one.status.map(i32::from));
            rows.code.push(one.code.clone());
            rows.key.push(one.key.uuid());
            rows.request_id.push(one.request_id.clone());
            rows.duration_ms.push(one.duration_ms);
            rows.dry_run.push(one.dry_run);
            rows.held.push(one.held);
            rows.lost_before.push(one.lost_before);
            rows.times.push(one.times);
            rows.head.push(seals.seal(HEAD, &bound, &head, chance.as_ref())?);
            rows.bodies.push(seals.seal(BODIES, &bound, &bodies, chance.as_ref())?);
            rows.naming.extend(one.users.iter().map(|_| one.id.uuid()));
            rows.named.extend(one.users.iter().map(|user| user.uuid()));
        }
        sqlx::query("SET LOCAL synchronous_commit = off").execute(self.sql()).await?;
        let sums = self.insert(&rows).await?;
        Ok(sums.into_iter().any(|(rows, bytes)| rows > bounds.rows_max || bytes > bounds.bytes_max))
    }

    async fn insert(&mut self, rows: &Rows) -> Result<Vec<(i64, i64)>> {
        let org = self.org().uuid();
        let sums = sqlx::query_as(concat!(
            "WITH kept AS (
                 INSERT INTO scim_requests (org_id, dir_id, req_id, at, method, status, code, key_id, request_id,
                                            duration_ms, dry_run, held, lost_before, times, head, bodies,
                                            users)
                 SELECT $1, e.dir_id, e.req_id, e.at, e.method, e.status, e.code,
                        COALESCE(c.parent_id, e.key_id), e.request_id, e.duration_ms, e.dry_run, e.held,
                        e.lost_before, e.times, e.head, e.bodies, COALESCE(n.users, '{}')
                   FROM UNNEST($2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::integer[], $7::text[],
                               $8::uuid[], $9::text[], $10::bigint[], $11::boolean[], $12::boolean[],
                               $13::bigint[], $14::bigint[], $15::bytea[], $16::bytea[])
                        AS e(dir_id, req_id, at, method, status, code, key_id, request_id, duration_ms, dry_run,
                             held, lost_before, times, head, bodies)
                   JOIN directories USING (dir_id)
                   LEFT JOIN credentials c ON c.key_id = e.key_id
                   LEFT JOIN (SELECT req_id, array_agg(subject) AS users
                                FROM UNNEST($17::uuid[], $18::uuid[]) AS n(req_id, subject)
                               GROUP BY req_id) n ON n.req_id = e.req_id
                 ON CONFLICT DO NOTHING
                 RETURNING dir_id, req_id, users, ",
            weight!(),
            " AS bytes
             ), named AS (
                 INSERT INTO scim_request_people (org_id, dir_id, subject, req_id)
                 SELECT $1, dir_id, subject, req_id FROM kept, UNNEST(users) AS subject
                 ON CONFLICT DO NOTHING
             )
             INSERT INTO scim_request_sums AS s (org_id, dir_id, rows, bytes)
             SELECT $1, dir_id, count(*), sum(bytes)
               FROM kept
              GROUP BY dir_id
              ORDER BY dir_id
             ON CONFLICT (org_id, dir_id)
             DO UPDATE SET rows = s.rows + EXCLUDED.rows, bytes = s.bytes + EXCLUDED.bytes
             RETURNING rows, bytes",
        ))
        .bind(org)
        .bind(&rows.directory)
        .bind(&rows.id)
        .bind(&rows.at)
        .bind(&rows.method)
        .bind(&rows.status)
        .bind(&rows.code)
        .bind(&rows.key)
        .bind(&rows.request_id)
        .bind(&rows.duration_ms)
        .bind(&rows.dry_run)
        .bind(&rows.held)
        .bind(&rows.lost_before)
        .bind(&rows.times)
        .bind(&rows.head)
        .bind(&rows.bodies)
        .bind(&rows.naming)
        .bind(&rows.named)
        .fetch_all(self.sql())
        .await?;
        Ok(sums)
    }

    /// Brings this org's turn at the sweep forward to `at`, where it would be later.
    pub async fn hasten_turn(&mut self, at: Timestamp) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query("UPDATE pending SET due_at = $2 WHERE kind = 'sweep' AND org_id = $1 AND due_at > $2")
            .bind(org)
            .bind(OffsetDateTime::from(at))
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// Takes away at most `BITE` of the oldest requests of a directory that has more than it may; answers how
    /// many. It finds them by the log's own key. The sum of a directory that is gone, and its log with it, goes.
    pub async fn shed_requests(&mut self, bounds: &LogBounds) -> Result<i64> {
        let gone = sqlx::query_scalar(concat!(
            "WITH over AS (
                 SELECT dir_id, rows - $1 AS rows, bytes - $2 AS bytes
                   FROM scim_request_sums
                  WHERE rows > $1 OR bytes > $2
                  ORDER BY dir_id
                  LIMIT 1
                  FOR UPDATE
             ), oldest AS (
                 SELECT r.dir_id, r.req_id, r.users, r.bytes, row_number() OVER births AS place,
                        sum(r.bytes) OVER births - r.bytes AS before
                   FROM over
                  CROSS JOIN LATERAL (SELECT dir_id, req_id, users, ",
            weight!(),
            " AS bytes
                                        FROM scim_requests
                                       WHERE dir_id = over.dir_id
                                       ORDER BY req_id LIMIT $3) r
                 WINDOW births AS (ORDER BY r.req_id)
             ), gone AS MATERIALIZED (
                 SELECT o.dir_id, o.req_id, o.users, o.bytes
                   FROM oldest o
                   JOIN over USING (dir_id)
                  WHERE o.place <= over.rows OR o.before < over.bytes
             ), unnamed AS (
                 DELETE FROM scim_request_people p
                  USING (SELECT dir_id, req_id, UNNEST(users) AS subject FROM gone) g
                  WHERE (p.dir_id, p.subject, p.req_id) = (g.dir_id, g.subject, g.req_id)
             ), deleted AS (
                 DELETE FROM scim_requests r
                  USING gone g
                  WHERE (r.dir_id, r.req_id) = (g.dir_id, g.req_id)
             ), less AS (
                 UPDATE scim_request_sums s
                    SET rows = GREATEST(0, s.rows - g.rows), bytes = GREATEST(0, s.bytes - g.bytes)
                   FROM (SELECT dir_id, count(*) AS rows, sum(bytes) AS bytes FROM gone GROUP BY dir_id) g
                  WHERE s.dir_id = g.dir_id
             ), forgotten AS (
                 DELETE FROM scim_request_sums s
                  WHERE s.rows <= 0
                    AND NOT EXISTS (SELECT 1 FROM directories d WHERE d.dir_id = s.dir_id)
             )
             SELECT count(*) FROM gone",
        ))
        .bind(bounds.rows_max)
        .bind(bounds.bytes_max)
        .bind(BITE)
        .fetch_one(self.sql())
        .await?;
        Ok(gone)
    }
}
