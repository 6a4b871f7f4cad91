//! The life of our signing keys, judged: `next` (published before it signs), `current` (signs), `retiring`
//! (what it signed is good still), gone; or `withdrawn`, at once. Says the steps, in an order in which no
//! algorithm has two keys of one state; makes no key and touches no table.

use model::{KeyState, SigningAlg, Timestamp};

/// A key is published for so long before the schedule lets it sign: whoever keeps our JWKS for longer than it
/// says has it too.
pub const PUBLISHED_FIRST_SECS: i64 = 3_600;
/// Whoever reads our JWKS may keep it for so long (`Cache-Control: max-age`).
pub const JWKS_MAX_AGE_SECS: i64 = 60;
/// The longest that anything we sign is good: an ID token names its session at `/oauth2/logout`, expired or
/// not, and 30 days are the most a session lives.
pub const RETIRING_SECS: i64 = 2_592_000;
/// Of one algorithm. With next and current of three algorithms the JWKS stays within 32 keys.
pub const RETIRING_MAX: usize = 8;

/// A key and where it is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDates {
    pub kid: String,
    pub alg: SigningAlg,
    pub state: KeyState,
    /// When it was made and published.
    pub made_at: Timestamp,
    /// When it began to sign.
    pub signs_at: Option<Timestamp>,
    /// The end of a retiring key.
    pub ends_at: Option<Timestamp>,
}

/// What somebody wants of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// What is due by itself; a key signs for so many seconds.
    Schedule { rotate_secs: i64 },
    /// The next key of this algorithm signs from now on, published for long enough or, with `Haste::Now`, not.
    Rotate { alg: SigningAlg, haste: Haste },
    /// This key is good for nothing from now on.
    Withdraw { kid: &'a str },
    /// A key of this algorithm signs.
    Have { alg: SigningAlg },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Once every JWKS that holds has the next key.
    Published,
    Now,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Make { alg: SigningAlg, state: KeyState },
    Promote { kid: String },
    Retire { kid: String, ends_at: Timestamp },
    Withdraw { kid: String },
    Remove { kid: String },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// No key of this algorithm signs, so that there is nothing to rotate.
    NotInUse,
    /// The next key is not in every JWKS yet; from this moment on it is.
    TooYoung { from: Timestamp },
    /// So many are retiring that one more would make the JWKS too long.
    TooMany,
    /// No published key has this name.
    Unknown,
}

/// The steps from these keys to what is wished; none when it is so already.
pub fn steps(keys: &[KeyDates], wish: Wish<'_>, now: Timestamp) -> Result<Vec<Step>, NotNow> {
    match wish {
        Wish::Schedule { rotate_secs } => {
            let over =
                |key: &&KeyDates| key.state == KeyState::Retiring && key.ends_at.is_none_or(|end| end <= now);
            let remove = |key: &KeyDates| Step::Remove { kid: key.kid.clone() };
            let mut due: Vec<Step> = keys.iter().filter(over).map(remove).collect();
            for alg in SigningAlg::ALL {
                due.extend(scheduled(keys, alg, rotate_secs, now));
            }
            Ok(due)
        }
        Wish::Rotate { alg, haste } => {
            let (current, next) = (find(keys, alg, KeyState::Current), find(keys, alg, KeyState::Next));
            let current = current.ok_or(NotNow::NotInUse)?;
            if retiring(keys, alg) >= RETIRING_MAX {
                return Err(NotNow::TooMany);
            }
            let from = next.map_or(now, |key| key.made_at).plus_secs(JWKS_MAX_AGE_SECS);
            match haste {
                Haste::Published if next.is_none() || now < from => Err(NotNow::TooYoung { from }),
                Haste::Published | Haste::Now => Ok(rotated(alg, current, next, now)),
            }
        }
        Wish::Withdraw { kid } => {
            let living = |key: &&KeyDates| key.kid == kid && key.state != KeyState::Withdrawn;
            let key = keys.iter().find(living).ok_or(NotNow::Unknown)?;
            let mut steps = vec![Step::Withdraw { kid: key.kid.clone() }];
            match key.state {
                KeyState::Current => steps.extend(succeeded(key.alg, find(keys, key.alg, KeyState::Next))),
                KeyState::Next => steps.push(Step::Make { alg: key.alg, state: KeyState::Next }),
                KeyState::Retiring | KeyState::Withdrawn => {}
            }
            Ok(steps)
        }
        Wish::Have { alg } if find(keys, alg, KeyState::Current).is_some() => Ok(Vec::new()),
        Wish::Have { alg } => Ok(succeeded(alg, find(keys, alg, KeyState::Next)).to_vec()),
    }
}

fn find(keys: &[KeyDates], alg: SigningAlg, state: KeyState) -> Option<&KeyDates> {
    keys.iter().find(|key| key.alg == alg && key.state == state)
}

fn retiring(keys: &[KeyDates], alg: SigningAlg) -> usize {
    keys.iter().filter(|key| key.alg == alg && key.state == KeyState::Retiring).count()
}

/// An algorithm that no app has asked for has no key, and gets none.
fn scheduled(keys: &[KeyDates], alg: SigningAlg, rotate_secs: i64, now: Timestamp) -> Vec<Step> {
    let Some(current) = find(keys, alg, KeyState::Current) else { return Vec::new() };
    let Some(next) = find(keys, alg, KeyState::Next) else {
        return vec![Step::Make { alg, state: KeyState::Next }];
    };
    let served = current.signs_at.unwrap_or(current.made_at).plus_secs(rotate_secs) <= now;
    let known = next.made_at.plus_secs(PUBLISHED_FIRST_SECS) <= now;
    if served && known && retiring(keys, alg) < RETIRING_MAX {
        rotated(alg, current, Some(next), now)
    } else {
        Vec::new()
    }
}

fn rotated(alg: SigningAlg, current: &KeyDates, next: Option<&KeyDates>, now: Timestamp) -> Vec<Step> {
    let retire = Step::Retire { kid: current.kid.clone(), ends_at: now.plus_secs(RETIRING_SECS) };
    std::iter::once(retire).chain(succeeded(alg, next)).collect()
}

/// Nobody signs: the next key does, or a new one, and another is next.
fn succeeded(alg: SigningAlg, next: Option<&KeyDates>) -> [Step; 2] {
    let signs = match next {
        Some(next) => Step::Promote { kid: next.kid.clone() },
        None => Step::Make { alg, state: KeyState::Current },
    };
    [signs, Step::Make { alg, state: KeyState::Next }]
}

#[cfg(test)]
#[path = "key_life_tests.rs"]
mod tests;
