//! Streams: where an app wants Security Event Tokens, and of what. The platform's own, as apps are; the header
//! that authorizes us there is sealed. What is due on them is `stream_events`'s.

use crate::{Db, Error, PlatformAct, Result, platform_record::note};
use model::{
    Secret, Timestamp,
    ids::{AppId, StreamId},
};
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

const PURPOSE: &str = "stream.authorization";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    Enabled,
    /// Nothing is sent; what is to be told waits, within `stream_events::HELD_MAX` and `HELD_SECS_MAX`.
    Paused,
    /// Nothing is sent or kept.
    Disabled,
}

impl StreamStatus {
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

#[derive(Clone, Debug)]
pub struct Stream {
    pub id: StreamId,
    pub app: AppId,
    pub endpoint_url: String,
    pub events: Vec<String>,
    pub status: StreamStatus,
    pub reason: Option<String>,
    pub description: Option<String>,
    /// When a verification was last asked for.
    pub verified_at: Option<Timestamp>,
    /// Since when events were dropped that waited in its last pause.
    pub dropped_at: Option<Timestamp>,
    /// What happened earlier is not told on it: it was made then, or enabled again.
    pub since: Timestamp,
    sealed_header: Option<Vec<u8>>,
}

/// What an app sets.
#[derive(Clone, Debug)]
pub struct StreamSettings<'a> {
    pub endpoint_url: &'a str,
    /// None leaves the one there is.
    pub authorization: Option<Option<&'a Secret<String>>>,
    pub events: &'a [String],
    pub description: Option<&'a str>,
}

impl Stream {
    /// What authorizes us at the receiver, opened.
    pub fn authorization(&self, seals: &SealKeys) -> Result<Option<Secret<String>>> {
        let corrupt = || Error::Corrupt("stream authorization");
        let Some(blob) = &self.sealed_header else { return Ok(None) };
        let plain = seals.open(PURPOSE, self.app.uuid().as_bytes(), blob).map_err(|_| corrupt())?;
        let text = String::from_utf8(plain.reveal().clone()).map_err(|_| corrupt())?;
        Ok(Some(Secret::new(text)))
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredStream {
    app_id: Uuid,
    str_id: Uuid,
    endpoint_url: String,
    auth_header: Option<Vec<u8>>,
    events: Vec<String>,
    status: String,
    reason: Option<String>,
    description: Option<String>,
    verified_at: Option<OffsetDateTime>,
    dropped_at: Option<OffsetDateTime>,
    since: OffsetDateTime,
}

impl StoredStream {
    fn stream(self) -> Result<Stream> {
        Ok(Stream {
            id: StreamId::from_uuid(self.str_id),
            app: AppId::from_uuid(self.app_id),
            endpoint_url: self.endpoint_url,
            events: self.events,
            status: StreamStatus::parse(&self.status).ok_or(Error::Corrupt("stream status"))?,
            reason: self.reason,
            description: self.description,
            verified_at: self.verified_at.map(Timestamp::from),
            dropped_at: self.dropped_at.map(Timestamp::from),
            since: self.since.into(),
            sealed_header: self.auth_header,
        })
    }
}

impl Db {
    pub async fn stream(&self, app: AppId) -> Result<Option<Stream>> {
        let row: Option<StoredStream> = sqlx::query_as(
            "SELECT app_id, str_id, endpoint_url, auth_header, events, status, reason, description, verified_at,
                    dropped_at, since
               FROM streams
              WHERE app_id = $1",
        )
        .bind(app.uuid())
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredStream::stream).transpose()
    }

    fn sealed(&self, app: AppId, header: Option<&Secret<String>>) -> Result<Option<Vec<u8>>> {
        let seal = |header: &Secret<String>| {
            let plain = header.reveal().as_bytes();
            self.seals.seal(PURPOSE, app.uuid().as_bytes(), plain, self.chance.as_ref())
        };
        Ok(header.map(seal).transpose()?)
    }

    /// False when the app has one already.
    pub async fn create_stream(
        &self,
        act: PlatformAct<'_>,
        app: AppId,
        id: StreamId,
        set: &StreamSettings<'_>,
    ) -> Result<bool> {
        let sealed = self.sealed(app, set.authorization.flatten())?;
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let made = sqlx::query(
            "INSERT INTO streams (app_id, str_id, endpoint_url, auth_header, events, description, created_at, since)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
             ON CONFLICT DO NOTHING",
        )
        .bind(app.uuid())
        .bind(id.uuid())
        .bind(set.endpoint_url)
        .bind(sealed)
        .bind(set.events)
        .bind(set.description)
        .bind(OffsetDateTime::from(act.at))
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, self.chance.as_ref(), act, "stream.created", &id.to_string()).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn change_stream(
        &self,
        act: PlatformAct<'_>,
        stream: &Stream,
        set: &StreamSettings<'_>,
    ) -> Result<()> {
        let sealed = self.sealed(stream.app, set.authorization.flatten())?;
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        sqlx::query(
            "UPDATE streams
                SET endpoint_url = $2, auth_header = CASE WHEN $3 THEN $4 ELSE auth_header END,
                    events = $5, description = $6
              WHERE app_id = $1",
        )
        .bind(stream.app.uuid())
        .bind(set.endpoint_url)
        .bind(set.authorization.is_some())
        .bind(sealed)
        .bind(set.events)
        .bind(set.description)
        .execute(&mut *tx)
        .await?;
        note(&mut tx, self.chance.as_ref(), act, "stream.changed", &stream.id.to_string()).await?;
        tx.commit().await
    }

    pub async fn set_stream_status(
        &self,
        act: PlatformAct<'_>,
        stream: &Stream,
        status: StreamStatus,
        reason: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        sqlx::query(
            "UPDATE streams
                SET status = $2, reason = $3,
                    dropped_at = CASE WHEN $2 = 'paused' AND status <> 'paused' THEN NULL ELSE dropped_at END,
                    since = CASE WHEN status = 'disabled' AND $2 <> 'disabled' THEN $4 ELSE since END
              WHERE app_id = $1",
        )
        .bind(stream.app.uuid())
        .bind(status.as_str())
        .bind(reason)
        .bind(OffsetDateTime::from(act.at))
        .execute(&mut *tx)
        .await?;
        let action = match status {
            StreamStatus::Enabled => "stream.enabled",
            StreamStatus::Paused => "stream.paused",
            StreamStatus::Disabled => "stream.disabled",
        };
        note(&mut tx, self.chance.as_ref(), act, action, &stream.id.to_string()).await?;
        tx.commit().await
    }

    pub async fn delete_stream(&self, act: PlatformAct<'_>, stream: &Stream) -> Result<()> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        sqlx::query("DELETE FROM streams WHERE app_id = $1")
            .bind(stream.app.uuid())
            .execute(&mut *tx)
            .await?;
        note(&mut tx, self.chance.as_ref(), act, "stream.deleted", &stream.id.to_string()).await?;
        tx.commit().await
    }

    /// Notes that a verification was asked for; false when the last one is too young.
    pub async fn take_verification(&self, app: AppId, now: Timestamp, since: Timestamp) -> Result<bool> {
        let taken = sqlx::query(
            "UPDATE streams SET verified_at = $2 WHERE app_id = $1 AND (verified_at IS NULL OR verified_at <= $3)",
        )
        .bind(app.uuid())
        .bind(OffsetDateTime::from(now))
        .bind(OffsetDateTime::from(since))
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Pauses a stream that is enabled, by itself; false when it is not.
    pub async fn pause_stream(&self, act: PlatformAct<'_>, stream: &Stream, reason: &str) -> Result<bool> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let paused = sqlx::query(
            "UPDATE streams SET status = 'paused', reason = $2, dropped_at = NULL WHERE app_id = $1 AND status = 'enabled'",
        )
        .bind(stream.app.uuid())
        .bind(reason)
        .execute(&mut *tx)
        .await?;
        if paused.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, self.chance.as_ref(), act, "stream.paused", &stream.id.to_string()).await?;
        tx.commit().await?;
        Ok(true)
    }
}
