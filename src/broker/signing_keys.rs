//! Our signing keys: what this node holds of them, and what changes them. A node asks for their number once a
//! second and reads them anew when it is another; whoever mints or judges a token meets keys that are no older
//! than two seconds, or Postgres is asked first, or nobody is answered. Minting takes no lock and reads no key.

use crate::FlowError;
use arc_swap::ArcSwap;
use model::{KeyState, SigningAlg, Timestamp};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::{Db, NewSigningKey, PlatformAct, SigningKeyRow, SigningKeysTx};
use token::{
    key_life::{self, KeyDates, NotNow, Step, Wish},
    key_ring::KeyRing,
    signing_key::{KeyFault, SigningKey, VerifyingKey},
};
use tokio::sync::Mutex;

/// Older than this, what a node holds is asked about before it is used.
pub const STALE_AFTER: Duration = Duration::from_secs(2);
/// Postgres that did not answer is asked again after this, not by everybody in a row.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Keys that are made before the lock and turn out to be too few under it: so often they are made anew.
const TRIES: usize = 3;

/// The keys as this node last read them.
pub struct SigningKeys {
    held: ArcSwap<Held>,
    /// Milliseconds from `began` to the question that the last answer was to.
    asked_at: AtomicU64,
    began: Instant,
    /// One asks at a time, so that an older answer never overwrites a newer one.
    /// Holds when the last question failed, if it did.
    turn: Mutex<Option<Instant>>,
}

struct Held {
    version: i64,
    ring: Arc<KeyRing>,
    dates: Vec<KeyDates>,
}

/// Why the keys could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// Postgres did not answer a moment ago.
    #[error("the signing keys could not be asked about")]
    Away,
    #[error("signing keys: {0}")]
    Wrong(String),
}

impl From<KeysError> for FlowError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Store(error) => error.into(),
            KeysError::Away => Self::Busy { retry_after_secs: 1 },
            KeysError::Key(_) | KeysError::Wrong(_) => Self::Fault(error.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, KeysError>;

impl Held {
    /// Errors: the seal keys at hand do not open it, or a key is not what it says.
    async fn read(db: &Db) -> Result<Self> {
        let (version, rows) = db.signing_keys().await?;
        let (mut signers, mut others) = (Vec::new(), Vec::new());
        for SigningKeyRow { dates, public_jwk, private } in &rows {
            match (dates.state, private) {
                (KeyState::Current, Some(private)) => {
                    signers.push(SigningKey::from_pkcs8(dates.alg, private)?);
                }
                (KeyState::Current, None) => return Err(KeysError::Wrong("one has no private half".into())),
                (KeyState::Next | KeyState::Retiring, _) => others.push(VerifyingKey::from_jwk(public_jwk)?),
                (KeyState::Withdrawn, _) => {}
            }
        }
        let dates = rows.into_iter().map(|row| row.dates).collect();
        Ok(Self { version, ring: Arc::new(KeyRing::new(signers, others)), dates })
    }
}

impl SigningKeys {
    /// The keys at a node's start: the key of a version before is carried over, and a key for ES256 made when
    /// there is none.
    ///
    /// # Errors
    /// The store's, among them `SealedByAnother`.
    pub async fn open(db: &Db, act: PlatformAct<'_>) -> Result<Self> {
        carry_over(db, act).await?;
        granted(change(db, act, Wish::Have { alg: SigningAlg::Es256 }).await?)?;
        let began = Instant::now();
        let held = ArcSwap::from_pointee(Held::read(db).await?);
        Ok(Self { held, asked_at: AtomicU64::new(0), began, turn: Mutex::new(None) })
    }

    /// The ring as it is held, however old.
    pub fn now(&self) -> Arc<KeyRing> {
        self.held.load().ring.clone()
    }

    /// Where each key that is held is in its life.
    pub fn dates(&self) -> Vec<KeyDates> {
        self.held.load().dates.clone()
    }

    /// Whether a withdrawal of more than two seconds ago could be unknown here.
    pub fn is_stale(&self) -> bool {
        let asked_at = Duration::from_millis(self.asked_at.load(Ordering::Acquire));
        self.began.elapsed().saturating_sub(asked_at) > STALE_AFTER
    }

    /// The ring, of two seconds ago at most.
    ///
    /// # Errors
    /// The store's, when it had to be asked and did not answer.
    pub async fn ring(&self, db: &Db) -> Result<Arc<KeyRing>> {
        if self.is_stale() {
            let mut turn = self.turn.lock().await;
            // Whoever waited here has the answer of the one before.
            if self.is_stale() {
                if turn.is_some_and(|failed| failed.elapsed() < ASKED_AGAIN) {
                    return Err(KeysError::Away);
                }
                self.ask(db, &mut turn).await?;
            }
        }
        Ok(self.now())
    }

    /// The same, with a key of this algorithm that signs: another node may have made it a moment ago. To be
    /// called before a transaction is open.
    pub async fn ready(&self, db: &Db, alg: SigningAlg) -> Result<Arc<KeyRing>> {
        let ring = self.ring(db).await?;
        if ring.signer(alg).is_some() {
            return Ok(ring);
        }
        self.beat(db).await?;
        Ok(self.now())
    }

    /// The key that signs by this algorithm.
    pub fn signer<'a>(&self, ring: &'a KeyRing, alg: SigningAlg) -> Result<&'a SigningKey> {
        ring.signer(alg).ok_or_else(|| KeysError::Wrong(format!("none signs by {}", alg.as_str())))
    }

    /// Asks for the keys' number, and reads them when it is another.
    ///
    /// # Errors
    /// The store's; what is held stays.
    pub async fn beat(&self, db: &Db) -> Result<()> {
        let mut turn = self.turn.lock().await;
        self.ask(db, &mut turn).await
    }

    async fn ask(&self, db: &Db, failed: &mut Option<Instant>) -> Result<()> {
        let asked_at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let asked = async {
            if db.signing_keys_version().await? != self.held.load().version {
                self.held.store(Arc::new(Held::read(db).await?));
            }
            Ok(())
        };
        let asked: Result<()> = asked.await;
        *failed = asked.is_err().then(Instant::now);
        if asked.is_ok() {
            self.asked_at.store(asked_at, Ordering::Release);
        }
        asked
    }
}

/// What came of a wish.
pub type Changed = std::result::Result<Vec<Step>, NotNow>;

/// What must not be refused: the schedule, and having a key.
fn granted(changed: Changed) -> Result<Vec<Step>> {
    changed.map_err(|why| KeysError::Wrong(format!("{why:?}")))
}

/// Makes the keys what is wished, in one commit with the platform's record of each step. Keys are made before
/// the lock, an RSA key off the async threads, and one that is not needed after all is thrown away.
///
/// # Errors
/// The store's. A wish that cannot be granted now is `Ok(Err(why))`, and nothing is changed.
pub async fn change(db: &Db, act: PlatformAct<'_>, wish: Wish<'_>) -> Result<Changed> {
    let seen: Vec<KeyDates> = db.signing_keys().await?.1.into_iter().map(|row| row.dates).collect();
    let mut wanted = match key_life::steps(&seen, wish, act.at) {
        Ok(steps) if steps.is_empty() => return Ok(Ok(steps)),
        Ok(steps) => steps,
        Err(why) => return Ok(Err(why)),
    };
    for _ in 0..TRIES {
        let mut born = births(&wanted).await?;
        let mut tx = db.change_signing_keys(act).await?;
        let steps = match key_life::steps(&tx.keys().await?, wish, act.at) {
            Ok(steps) => steps,
            Err(why) => return Ok(Err(why)),
        };
        if !enough(&born, &steps) {
            wanted = steps;
            continue;
        }
        if steps.is_empty() {
            return Ok(Ok(steps));
        }
        for step in &steps {
            take(&mut tx, step, &mut born).await?;
        }
        tx.commit().await?;
        for step in &steps {
            tracing::info!(?step, "signing keys changed");
        }
        return Ok(Ok(steps));
    }
    Err(KeysError::Wrong("they changed under every attempt".to_owned()))
}

/// What is due by itself; a key signs for so many seconds.
pub async fn tend(db: &Db, act: PlatformAct<'_>, rotate_secs: i64) -> Result<()> {
    granted(change(db, act, Wish::Schedule { rotate_secs }).await?).map(drop)
}

/// Sees to it that a key of this algorithm signs. One that was made a moment ago, whoever asked, is on every node
/// when this ends: what one signs with it the others know.
pub async fn have(gw: &crate::Gateway, act: PlatformAct<'_>, alg: SigningAlg) -> Result<()> {
    granted(change(&gw.db, act, Wish::Have { alg }).await?)?;
    gw.keys.ready(&gw.db, alg).await?;
    let known_at = act.at.minus_secs(i64::try_from(STALE_AFTER.as_secs()).unwrap_or(0));
    let young = |key: &KeyDates| key.alg == alg && key.state == KeyState::Current && key.made_at >= known_at;
    if gw.keys.dates().iter().any(young) {
        tokio::time::sleep(STALE_AFTER).await;
    }
    Ok(())
}

type Born = VecDeque<SigningKey>;

async fn births(steps: &[Step]) -> Result<Born> {
    let algs: Vec<SigningAlg> = steps.iter().filter_map(made).collect();
    let make =
        move || algs.into_iter().map(SigningKey::generate).collect::<std::result::Result<Born, KeyFault>>();
    let made = tokio::task::spawn_blocking(make).await;
    Ok(made.map_err(|panicked| KeysError::Wrong(panicked.to_string()))??)
}

const fn made(step: &Step) -> Option<SigningAlg> {
    match step {
        Step::Make { alg, .. } => Some(*alg),
        Step::Promote { .. } | Step::Retire { .. } | Step::Withdraw { .. } | Step::Remove { .. } => None,
    }
}

fn enough(born: &Born, steps: &[Step]) -> bool {
    SigningAlg::ALL.into_iter().all(|alg| {
        let needed = steps.iter().filter_map(made).filter(|other| *other == alg).count();
        born.iter().filter(|key| key.alg() == alg).count() >= needed
    })
}

async fn take(tx: &mut SigningKeysTx<'_>, step: &Step, born: &mut Born) -> Result<()> {
    match step {
        Step::Make { alg, state } => {
            let at = born.iter().position(|key| key.alg() == *alg).and_then(|at| born.remove(at));
            let key = at.ok_or_else(|| KeysError::Wrong("one is missing".to_owned()))?;
            keep(tx, &key, *state, tx.now()).await
        }
        Step::Promote { kid } => Ok(tx.promote(kid).await?),
        Step::Retire { kid, ends_at } => Ok(tx.retire(kid, *ends_at).await?),
        Step::Withdraw { kid } => Ok(tx.withdraw(kid).await?),
        Step::Remove { kid } => Ok(tx.remove(kid).await?),
    }
}

async fn keep(
    tx: &mut SigningKeysTx<'_>,
    key: &SigningKey,
    state: KeyState,
    made_at: Timestamp,
) -> Result<()> {
    let (public_jwk, private) = (key.public().jwk(), key.to_pkcs8()?);
    let new = NewSigningKey {
        kid: key.kid(),
        alg: key.alg(),
        state,
        public_jwk: &public_jwk,
        private: &private,
        made_at,
    };
    Ok(tx.make(&new).await?)
}

/// The one key of before goes on signing, under its own name and since its own time.
async fn carry_over(db: &Db, act: PlatformAct<'_>) -> Result<()> {
    if db.signing_keys_version().await? > 0 {
        return Ok(());
    }
    let mut tx = db.change_signing_keys(act).await?;
    if !tx.keys().await?.is_empty() {
        return Ok(());
    }
    let Some((private, since)) = tx.key_of_before().await? else { return Ok(()) };
    let key = SigningKey::from_pkcs8(SigningAlg::Es256, &private)?;
    keep(&mut tx, &key, KeyState::Current, since).await?;
    tx.empty_key_of_before().await?;
    tx.commit().await?;
    tracing::info!(kid = key.kid(), "the signing key of before is carried over");
    Ok(())
}
