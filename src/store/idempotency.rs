//! Answers kept for a repeated `Idempotency-Key`, sealed: they may hold a secret shown once. A key
//! is reserved before the story runs and stays reserved if the process dies in it: never twice.

use crate::{Db, Door, Error, OrgScope, Result, TenantTx};
use model::TokenDigest;
use time::OffsetDateTime;

/// How long an answer is kept, by the contract.
const KEPT_SECS: i64 = 24 * 3600;

/// What a key found.
#[derive(Debug)]
pub enum Reserved {
    /// Nothing: it is this request's now.
    Fresh,
    /// The answer that was given.
    Kept(Vec<u8>),
    /// A request with it has not been answered: it runs, or its process died.
    Unanswered,
    /// It was used for something else.
    OtherRequest,
}

impl Db {
    /// Reserves a key for one request of this caller, for 24 h.
    pub async fn reserve_answer<D: Door>(
        &self,
        scope: &OrgScope<D>,
        key: &str,
        request: &TokenDigest,
    ) -> Result<Reserved> {
        let mut tx = self.write(scope, "idempotent.reserve").await?;
        let caller = caller(&tx);
        sqlx::query("DELETE FROM idempotent_answers WHERE caller = $1 AND request_key = $2 AND until <= $3")
            .bind(&caller)
            .bind(key)
            .bind(OffsetDateTime::from(scope.now()))
            .execute(tx.sql())
            .await?;
        if insert(&mut tx, key, request, &[]).await? {
            tx.commit_housekeeping().await?;
            return Ok(Reserved::Fresh);
        }
        let found: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT body_digest, answer FROM idempotent_answers WHERE caller = $1 AND request_key = $2",
        )
        .bind(&caller)
        .bind(key)
        .fetch_optional(tx.sql())
        .await?;
        match found {
            Some((digest, _)) if digest != request.bytes() => Ok(Reserved::OtherRequest),
            Some((_, sealed)) if !sealed.is_empty() => {
                let plain = self
                    .seals
                    .open("idempotent.answer", &binding(&tx, key), &sealed)
                    .map_err(|_| Error::Corrupt("idempotent answer"))?;
                Ok(Reserved::Kept(plain.reveal().clone()))
            }
            Some(_) | None => Ok(Reserved::Unanswered),
        }
    }

    /// Keeps the answer under its reserved key; without one, frees the key.
    pub async fn settle_answer<D: Door>(
        &self,
        scope: &OrgScope<D>,
        key: &str,
        request: &TokenDigest,
        answer: Option<&[u8]>,
    ) -> Result<()> {
        let mut tx = self.write_after(scope, "idempotent.settle").await?;
        sqlx::query("DELETE FROM idempotent_answers WHERE caller = $1 AND request_key = $2")
            .bind(caller(&tx))
            .bind(key)
            .execute(tx.sql())
            .await?;
        if let Some(answer) = answer {
            let bound = binding(&tx, key);
            let sealed = self.seals.seal("idempotent.answer", &bound, answer, self.chance.as_ref())?;
            insert(&mut tx, key, request, &sealed).await?;
        }
        tx.commit_housekeeping().await
    }
}

async fn insert(tx: &mut TenantTx, key: &str, request: &TokenDigest, answer: &[u8]) -> Result<bool> {
    let (org, caller) = (tx.org().uuid(), caller(tx));
    let until = OffsetDateTime::from(tx.now().plus_secs(KEPT_SECS));
    let inserted = sqlx::query(
        "INSERT INTO idempotent_answers (org_id, caller, request_key, body_digest, answer, until)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
    )
    .bind(org)
    .bind(caller)
    .bind(key)
    .bind(request.bytes().as_slice())
    .bind(answer)
    .bind(until)
    .execute(tx.sql())
    .await?;
    Ok(inserted.rows_affected() == 1)
}

fn caller(tx: &TenantTx) -> String {
    let actor = &tx.origin().actor;
    format!("{}:{}", actor.kind, actor.id)
}

fn binding(tx: &TenantTx, key: &str) -> Vec<u8> {
    format!("{}/{}/{key}", tx.org(), caller(tx)).into_bytes()
}
