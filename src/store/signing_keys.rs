//! The ledger of signing keys: the platform's own, sealed. One row of the head is held by whoever changes them,
//! so that two nodes never make two; its number tells every node that there is something to read again.

use crate::{Db, Error, PlatformAct, Result, platform_record::note, pool::Lease};
use model::{Chance, KeyState, Secret, SigningAlg, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use std::sync::Arc;
use time::OffsetDateTime;
use token::{key_life::KeyDates, seal::SealKeys};

/// What a private key is sealed for; it belongs to its own name.
const PURPOSE: &str = "signing_key";
/// Where the one key of before stood.
const BEFORE: &str = "signing_key.current";
/// Keys that are listed: those at work, and the newest of those that were withdrawn.
const LISTED: i64 = 200;

/// A signing key as it is kept. `private` is there while it signs or will.
pub struct SigningKeyRow {
    pub dates: KeyDates,
    pub public_jwk: Value,
    pub private: Option<Secret<Vec<u8>>>,
}

/// A signing key as it is listed: public alone.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedSigningKey {
    pub kid: String,
    pub alg: SigningAlg,
    pub state: KeyState,
    /// Published since then.
    pub made_at: Timestamp,
    pub signs_at: Option<Timestamp>,
    /// When a retiring key goes.
    pub ends_at: Option<Timestamp>,
    pub withdrawn_at: Option<Timestamp>,
}

/// A key to be kept.
pub struct NewSigningKey<'a> {
    pub kid: &'a str,
    pub alg: SigningAlg,
    pub state: KeyState,
    pub public_jwk: &'a Value,
    pub private: &'a Secret<Vec<u8>>,
    pub made_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct StoredKey {
    kid: String,
    alg: String,
    state: String,
    public_jwk: Value,
    sealed: Option<Vec<u8>>,
    made_at: OffsetDateTime,
    signs_at: Option<OffsetDateTime>,
    ends_at: Option<OffsetDateTime>,
    withdrawn_at: Option<OffsetDateTime>,
}

impl StoredKey {
    fn dates(&self) -> Result<KeyDates> {
        Ok(KeyDates {
            kid: self.kid.clone(),
            alg: SigningAlg::parse(&self.alg).ok_or(Error::Corrupt("signing key"))?,
            state: KeyState::parse(&self.state).ok_or(Error::Corrupt("signing key"))?,
            made_at: self.made_at.into(),
            signs_at: self.signs_at.map(Timestamp::from),
            ends_at: self.ends_at.map(Timestamp::from),
        })
    }

    fn opened(self, seals: &SealKeys) -> Result<SigningKeyRow> {
        let open = |blob: &Vec<u8>| {
            seals.open(PURPOSE, self.kid.as_bytes(), blob).map_err(|_| Error::SealedByAnother)
        };
        Ok(SigningKeyRow {
            dates: self.dates()?,
            private: self.sealed.as_ref().map(open).transpose()?,
            public_jwk: self.public_jwk,
        })
    }

    fn listed(self) -> Result<ListedSigningKey> {
        let KeyDates { kid, alg, state, made_at, signs_at, ends_at } = self.dates()?;
        let withdrawn_at = self.withdrawn_at.map(Timestamp::from);
        Ok(ListedSigningKey { kid, alg, state, made_at, signs_at, ends_at, withdrawn_at })
    }
}

async fn rows(sql: &mut PgConnection, limit: i64, withdrawn: bool) -> Result<Vec<StoredKey>> {
    Ok(sqlx::query_as(
        "SELECT kid, alg, state, public_jwk, sealed, made_at, signs_at, ends_at, withdrawn_at
           FROM signing_keys
          WHERE $2 OR state <> 'withdrawn'
          ORDER BY state = 'withdrawn', alg, made_at DESC, kid
          LIMIT $1",
    )
    .bind(limit)
    .bind(withdrawn)
    .fetch_all(sql)
    .await?)
}

/// The keys, held against everybody else who would change them. Dropping it changes nothing.
pub struct SigningKeysTx<'a> {
    lease: Lease,
    act: PlatformAct<'a>,
    seals: Arc<SealKeys>,
    chance: Arc<dyn Chance>,
}

impl Db {
    /// The number of the keys as they are now: another one whenever one of them has changed.
    pub async fn signing_keys_version(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT version FROM signing_keys_head").fetch_one(&self.pool).await?)
    }

    /// The keys that sign, will sign or verify, opened, and their number. Errors: `SealedByAnother`.
    pub async fn signing_keys(&self) -> Result<(i64, Vec<SigningKeyRow>)> {
        // The number first: keys that are newer than theirs are read again, never the other way round.
        let version = self.signing_keys_version().await?;
        let mut lease = self.begin("BEGIN READ ONLY".to_owned()).await?;
        let kept = rows(&mut lease, LISTED, false).await?;
        drop(lease);
        let opened = kept.into_iter().map(|row| row.opened(&self.seals));
        Ok((version, opened.collect::<Result<_>>()?))
    }

    /// Every key without its private half, those that were withdrawn last.
    pub async fn listed_signing_keys(&self) -> Result<Vec<ListedSigningKey>> {
        let mut lease = self.begin("BEGIN READ ONLY".to_owned()).await?;
        let kept = rows(&mut lease, LISTED, true).await?;
        drop(lease);
        kept.into_iter().map(StoredKey::listed).collect()
    }

    /// Holds the keys to change them.
    pub async fn change_signing_keys<'a>(&self, act: PlatformAct<'a>) -> Result<SigningKeysTx<'a>> {
        let mut lease = self.begin("BEGIN".to_owned()).await?;
        sqlx::query("SELECT 1 FROM signing_keys_head FOR UPDATE").execute(&mut *lease).await?;
        Ok(SigningKeysTx { lease, act, seals: self.seals.clone(), chance: self.chance.clone() })
    }
}

impl SigningKeysTx<'_> {
    pub const fn now(&self) -> Timestamp {
        self.act.at
    }

    pub async fn keys(&mut self) -> Result<Vec<KeyDates>> {
        rows(&mut self.lease, LISTED, false).await?.iter().map(StoredKey::dates).collect()
    }

    /// The one key that there was before keys rotated, and since when. It signs.
    pub async fn key_of_before(&mut self) -> Result<Option<(Secret<Vec<u8>>, Timestamp)>> {
        let found: Option<(Vec<u8>, OffsetDateTime)> = sqlx::query_as(
            "SELECT sealed, created_at FROM platform_secrets WHERE name = $1 AND sealed <> ''",
        )
        .bind(BEFORE)
        .fetch_optional(&mut *self.lease)
        .await?;
        let Some((blob, since)) = found else { return Ok(None) };
        let opened = self.seals.open("platform.secret", BEFORE.as_bytes(), &blob);
        Ok(Some((opened.map_err(|_| Error::SealedByAnother)?, since.into())))
    }

    /// It is carried over. Its row stays, empty: a version of before that starts now is refused its key, and
    /// makes none that nobody here knows.
    pub async fn empty_key_of_before(&mut self) -> Result<()> {
        sqlx::query("UPDATE platform_secrets SET sealed = '' WHERE name = $1")
            .bind(BEFORE)
            .execute(&mut *self.lease)
            .await?;
        Ok(())
    }

    pub async fn make(&mut self, new: &NewSigningKey<'_>) -> Result<()> {
        let sealed =
            self.seals.seal(PURPOSE, new.kid.as_bytes(), new.private.reveal(), self.chance.as_ref())?;
        let signs_at = (new.state == KeyState::Current).then_some(new.made_at);
        sqlx::query(
            "INSERT INTO signing_keys (kid, alg, state, public_jwk, sealed, made_at, signs_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.kid)
        .bind(new.alg.as_str())
        .bind(new.state.as_str())
        .bind(new.public_jwk)
        .bind(sealed)
        .bind(OffsetDateTime::from(new.made_at))
        .bind(signs_at.map(OffsetDateTime::from))
        .execute(&mut *self.lease)
        .await?;
        self.note("signing_key.made", new.kid).await
    }

    /// The next key signs from now on.
    pub async fn promote(&mut self, kid: &str) -> Result<()> {
        let at = OffsetDateTime::from(self.act.at);
        sqlx::query("UPDATE signing_keys SET state = 'current', signs_at = $2 WHERE kid = $1")
            .bind(kid)
            .bind(at)
            .execute(&mut *self.lease)
            .await?;
        self.note("signing_key.signs", kid).await
    }

    /// It signs no more, and its private half is gone.
    pub async fn retire(&mut self, kid: &str, ends_at: Timestamp) -> Result<()> {
        sqlx::query("UPDATE signing_keys SET state = 'retiring', sealed = NULL, ends_at = $2 WHERE kid = $1")
            .bind(kid)
            .bind(OffsetDateTime::from(ends_at))
            .execute(&mut *self.lease)
            .await?;
        self.note("signing_key.retired", kid).await
    }

    pub async fn withdraw(&mut self, kid: &str) -> Result<()> {
        let at = OffsetDateTime::from(self.act.at);
        sqlx::query(
            "UPDATE signing_keys
                SET state = 'withdrawn', sealed = NULL, ends_at = NULL, withdrawn_at = $2
              WHERE kid = $1",
        )
        .bind(kid)
        .bind(at)
        .execute(&mut *self.lease)
        .await?;
        self.note("signing_key.withdrawn", kid).await
    }

    /// Nothing that a retiring key signed is good any more: it goes.
    pub async fn remove(&mut self, kid: &str) -> Result<()> {
        sqlx::query("DELETE FROM signing_keys WHERE kid = $1").bind(kid).execute(&mut *self.lease).await?;
        self.note("signing_key.removed", kid).await
    }

    /// Done: every node reads the keys anew.
    pub async fn commit(mut self) -> Result<()> {
        sqlx::query("UPDATE signing_keys_head SET version = version + 1").execute(&mut *self.lease).await?;
        self.lease.commit().await?;
        Ok(())
    }

    async fn note(&mut self, action: &str, kid: &str) -> Result<()> {
        note(&mut self.lease, self.chance.as_ref(), self.act, action, kid).await
    }
}
