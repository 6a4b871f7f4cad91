//! Has Redis lost anything? A generation and a beat stand in Postgres and in Redis; the beat goes on in
//! Redis first. No generation there: it was emptied. Another: it is another Redis. A lower beat: an
//! old dump, or a replica that was behind. Nothing trusts Redis meanwhile: it is only filled again.

use super::Live;
use crate::{Db, Result};
use redis::Script;
use std::sync::LazyLock;
use uuid::Uuid;

static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));

/// The one key that is of no org: no person's data is in it.
const KEY: &str = "guard";

/// What Redis must hold at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub generation: Uuid,
    pub beat: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All that it was given, up to this beat.
    All(i64),
    Lost(Loss),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Emptied,
    Replaced,
    Rewound,
}

impl Loss {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emptied => "emptied",
            Self::Replaced => "replaced",
            Self::Rewound => "rewound",
        }
    }
}

impl Live {
    /// Compares, and lets the beat go on.
    pub async fn beat(&self, guard: Guard) -> std::result::Result<Held, redis::RedisError> {
        let mut redis = self.redis.clone();
        let (word, beat): (String, i64) =
            BEAT.key(KEY).arg(guard.generation.to_string()).arg(guard.beat).invoke_async(&mut redis).await?;
        Ok(match word.as_str() {
            "same" => Held::All(beat),
            "empty" => Held::Lost(Loss::Emptied),
            "rewound" => Held::Lost(Loss::Rewound),
            _ => Held::Lost(Loss::Replaced),
        })
    }

    /// From now on this generation.
    pub async fn begin(&self, generation: Uuid) -> std::result::Result<(), redis::RedisError> {
        let mut redis = self.redis.clone();
        let fields = [("generation", generation.to_string()), ("beat", "0".to_owned())];
        redis::cmd("HSET").arg(KEY).arg(&fields).query_async::<()>(&mut redis).await
    }

    /// `maxmemory-policy`, where Redis tells it. Another than `noeviction` forgets watermarks unseen.
    pub async fn eviction_policy(&self) -> std::result::Result<Option<String>, redis::RedisError> {
        let mut redis = self.redis.clone();
        let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await?;
        let told = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        Ok(told.map(|policy| policy.trim().to_owned()))
    }
}

impl Db {
    /// What Redis must hold. None: no Redis was filled yet.
    pub async fn redis_guard(&self) -> Result<Option<Guard>> {
        let row: Option<(Uuid, i64)> =
            sqlx::query_as("SELECT generation, beat FROM redis_guard").fetch_optional(&self.pool).await?;
        Ok(row.map(|(generation, beat)| Guard { generation, beat }))
    }

    /// Redis reached this beat.
    pub async fn note_beat(&self, guard: Guard) -> Result<()> {
        sqlx::query("UPDATE redis_guard SET beat = GREATEST(beat, $2) WHERE generation = $1")
            .bind(guard.generation)
            .bind(guard.beat)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Begins a generation in place of `old`; none when another node has begun one.
    pub async fn next_generation(&self, old: Option<Guard>, new: Uuid) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar(
            "INSERT INTO redis_guard (generation, beat) VALUES ($2, 0)
             ON CONFLICT (one) DO UPDATE SET generation = $2, beat = 0 WHERE redis_guard.generation = $1
             RETURNING generation",
        )
        .bind(old.map(|guard| guard.generation))
        .bind(new)
        .fetch_optional(&self.pool)
        .await?)
    }
}
