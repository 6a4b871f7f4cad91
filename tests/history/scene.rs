//! One run: clients do what the plan says, beside them trouble comes, and everything is written down.

use crate::{
    judge::{Asked, At, Family, History, Op, Outcome, Revocation, Whom},
    people::{Given, People},
    plan::{Cause, Deed, ORGS, PEOPLE, Plan, Step, Trouble},
    stand::{Hold, Stand},
};
use rustix::process::Signal;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};
use vestibule_verifier::{Denied, Verifier, testing::shift_clock};

/// Somebody whom no plan ends: recovery is looked at with them.
const PROBE: usize = ORGS * PEOPLE;
/// Later than this nothing recovers any more.
const RECOVERS_MAX: Duration = Duration::from_secs(30);
const LAST_LOOK_MAX: Duration = Duration::from_secs(4);

struct Held {
    person: usize,
    given: Given,
    /// Access and refresh token as of now; held by whoever refreshes.
    live: tokio::sync::Mutex<(String, String)>,
}

pub struct Scene {
    pub people: People,
    pub verifiers: [Verifier; 3],
    began: Instant,
    history: Mutex<History>,
    held: Mutex<Vec<Arc<Held>>>,
}

/// What a run came to.
pub struct Played {
    pub history: History,
    pub recovery: Duration,
}

impl Scene {
    pub fn new(people: People, verifiers: [Verifier; 3]) -> Self {
        let (history, held) = (Mutex::default(), Mutex::default());
        Self { people, verifiers, began: Instant::now(), history, held }
    }

    fn now(&self) -> At {
        self.began.elapsed()
    }

    /// Signs in; which family that is.
    async fn login(&self, person: usize) -> Option<usize> {
        let given = self.people.login(person).await?;
        let live = tokio::sync::Mutex::new((given.access.clone(), given.refresh.clone()));
        let mut held = self.held.lock().unwrap();
        held.push(Arc::new(Held { person, given, live }));
        let family = Family { org: person / PEOPLE, user: person, born: self.now() };
        self.history.lock().unwrap().families.push(family);
        Some(held.len() - 1)
    }

    fn family(&self, n: usize) -> Arc<Held> {
        self.held.lock().unwrap()[n].clone()
    }

    /// One of the person's sign-ins, counted from the newest.
    fn of(&self, person: usize, back: usize) -> Option<usize> {
        let held = self.held.lock().unwrap();
        let own: Vec<usize> = (0..held.len()).rev().filter(|n| held[*n].person == person).collect();
        own.get(back).or(own.last()).copied()
    }

    async fn ask(&self, family: usize, asked: Asked) -> Outcome {
        let held = self.family(family);
        let mut live = held.live.lock().await;
        let begun;
        let outcome = if asked == Asked::Refresh {
            begun = self.now();
            let (outcome, next) = self.people.refresh(&live.1).await;
            if let Some(next) = next {
                *live = next;
            }
            outcome
        } else {
            let token = live.0.clone();
            drop(live);
            begun = self.now();
            match asked {
                Asked::Introspect => self.people.introspect(&token).await,
                Asked::Userinfo => self.people.userinfo(&token).await,
                Asked::Strict => self.verify(0, &token).await,
                Asked::Bounded => self.verify(1, &token).await,
                Asked::BestEffort | Asked::Refresh => self.verify(2, &token).await,
            }
        };
        let op = Op { family, asked, begun, ended: self.now(), outcome };
        self.history.lock().unwrap().ops.push(op);
        outcome
    }

    async fn verify(&self, n: usize, token: &str) -> Outcome {
        match self.verifiers[n].verify(token).await {
            Ok(_) => Outcome::Ok,
            Err(Denied::Unavailable) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        }
    }

    async fn revoke(&self, cause: Cause, family: usize) {
        let held = self.family(family);
        let (person, people) = (held.person, &self.people);
        let whom = match cause {
            Cause::Directory | Cause::Administrator => Whom::User(person),
            Cause::Session | Cause::SignOut => Whom::Family(family),
            Cause::WholeOrg => Whom::Org(person / PEOPLE),
        };
        let begun = self.now();
        let done = match cause {
            Cause::Directory => people.deactivate(person).await,
            Cause::Administrator => people.revoke_user(person).await,
            Cause::Session => people.end_session(person, &held.given).await,
            Cause::SignOut => people.sign_out(&held.given).await,
            Cause::WholeOrg => people.revoke_org(person / PEOPLE).await,
        };
        let acknowledged = done.then(|| self.now());
        self.history.lock().unwrap().revocations.push(Revocation { whom, begun, acknowledged });
        if cause == Cause::Directory {
            people.reactivate(person).await;
        }
    }

    async fn take(&self, step: Step) {
        let Some(family) = self.of(step.person, step.back).filter(|_| step.deed != Deed::Login) else {
            self.login(step.person).await;
            return;
        };
        match step.deed {
            Deed::Call(n) => {
                const CALLS: [Asked; 5] =
                    [Asked::Strict, Asked::Bounded, Asked::BestEffort, Asked::Introspect, Asked::Userinfo];
                self.ask(family, CALLS[n]).await;
            }
            Deed::Refresh => drop(self.ask(family, Asked::Refresh).await),
            Deed::Revoke(cause) => self.revoke(cause, family).await,
            Deed::Login => {}
        }
    }

    /// Until a sign-in lives everywhere again, and its end is heard of everywhere.
    async fn recovers(&self) {
        let start = Instant::now();
        while !self.is_whole().await {
            assert!(
                start.elapsed() < RECOVERS_MAX,
                "not whole after {:?}: {:?}",
                start.elapsed(),
                self.verifiers.each_ref().map(Verifier::health)
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_whole(&self) -> bool {
        let is_fresh = |one: &Verifier| one.health().staleness.is_some_and(|age| age <= crate::BOUNDS.strict);
        if !self.verifiers.iter().all(is_fresh) {
            return false;
        }
        let Some(family) = self.login(PROBE).await else { return false };
        for asked in Asked::ALL {
            if self.ask(family, asked).await != Outcome::Ok {
                return false;
            }
        }
        self.revoke(Cause::Session, family).await;
        let start = Instant::now();
        for asked in Asked::ALL {
            while self.ask(family, asked).await != Outcome::Refused {
                if start.elapsed() > crate::BOUNDS.strict {
                    return false;
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
        true
    }

    /// What each sign-in is worth in the end: asked until there is an answer, and, of one that was ended, until
    /// it is refused.
    async fn last_look(self: &Arc<Self>) {
        let families = self.held.lock().unwrap().len();
        let history = {
            let mut history = self.history.lock().unwrap();
            history.last_look = self.now();
            history.clone()
        };
        let mut looks = JoinSet::new();
        for family in 0..families {
            let (scene, ended) = (self.clone(), history.is_ended(family));
            looks.spawn(async move {
                let start = Instant::now();
                // The refresh last: a token that is spent ends the others.
                let asked = Asked::ALL.into_iter().filter(|asked| *asked != Asked::Refresh);
                for asked in asked.chain([Asked::Refresh]) {
                    loop {
                        let outcome = scene.ask(family, asked).await;
                        let is_said = outcome == Outcome::Refused || (outcome == Outcome::Ok && !ended);
                        if is_said || start.elapsed() > LAST_LOOK_MAX {
                            break;
                        }
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            });
        }
        while let Some(looked) = looks.join_next().await {
            looked.unwrap();
        }
    }
}

/// Plays it.
pub async fn play(stand: &mut Stand, scene: Scene, plan: &Plan) -> Played {
    let mut scene = Arc::new(scene);
    if let Some(scene) = Arc::get_mut(&mut scene) {
        scene.began = Instant::now();
    }
    for person in 0..ORGS * PEOPLE {
        scene.login(person).await.expect("everybody signs in before anything happens");
    }
    if plan.trouble == Trouble::PostgresRestored {
        stand.back_up().await;
    }
    stand.redis.say("SAVE").unwrap();
    let old_file = std::fs::read(stand.redis.dump()).unwrap();
    std::fs::remove_file(stand.redis.dump()).unwrap();
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for steps in plan.clients.clone() {
        let scene = scene.clone();
        clients.spawn(async move {
            for step in steps {
                sleep(step.at.saturating_sub(start.elapsed())).await;
                scene.take(step).await;
            }
        });
    }
    sleep(plan.trouble_at).await;
    let from = scene.now();
    trouble(stand, &scene, plan, &old_file).await;
    let mended = scene.now();
    scene.recovers().await;
    let recovered = scene.now();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    scene.last_look().await;
    let mut history = scene.history.lock().unwrap().clone();
    history.disturbed = (from, recovered);
    Played { history, recovery: recovered.saturating_sub(mended) }
}

/// Makes the trouble, and mends it: what is to come back has been started, and no more.
async fn trouble(stand: &mut Stand, scene: &Arc<Scene>, plan: &Plan, old_file: &[u8]) {
    let ends = || {
        let (scene, victim) = (scene.clone(), plan.victim);
        tokio::spawn(async move {
            let family = scene.of(victim, 0).unwrap();
            scene.revoke(Cause::Administrator, family).await;
        })
    };
    match plan.trouble {
        Trouble::None => {}
        Trouble::Killed => {
            stand.kill_gateway();
            stand.start_gateway();
        }
        Trouble::KilledBeforeTheRow | Trouble::KilledInCommit => {
            let lock = match plan.trouble {
                Trouble::KilledInCommit => "SELECT pg_advisory_lock(7)",
                _ => "BEGIN; SET LOCAL ROLE vst_owner; LOCK TABLE vst.revocation_heads IN EXCLUSIVE MODE",
            };
            let mut hold = Hold::at(stand, lock).await;
            ends();
            assert!(hold.is_reached().await, "nobody stands at the point");
            stand.kill_gateway();
            hold.release().await;
            stand.start_gateway();
        }
        Trouble::KilledBeforeRedis => {
            stand.redis.signal(Signal::STOP);
            let before = stand.revoked().await;
            ends();
            while stand.revoked().await == before {
                sleep(Duration::from_millis(1)).await;
            }
            stand.kill_gateway();
            stand.redis.signal(Signal::CONT);
            stand.start_gateway();
        }
        Trouble::KilledBeforeTheFeed => {
            let hold = Hold::at(stand, HOLD_FEED).await;
            ends().await.unwrap();
            stand.kill_gateway();
            hold.release().await;
            stand.start_gateway();
        }
        Trouble::PostgresRestored => {
            ends().await.unwrap();
            stand.kill_gateway();
            stand.restore();
            let begun = scene.now();
            stand.recover();
            let acknowledged = Some(scene.now());
            let all = Revocation { whom: Whom::Everybody, begun, acknowledged };
            scene.history.lock().unwrap().revocations.push(all);
            stand.start_gateway();
        }
        Trouble::FeedHeld => {
            let hold = Hold::at(stand, HOLD_FEED).await;
            let start = Instant::now();
            ends().await.unwrap();
            let family = scene.of(plan.victim, 0).unwrap();
            while start.elapsed() < crate::BOUNDS.bounded + plan.lasts {
                for asked in [Asked::Strict, Asked::Bounded] {
                    scene.ask(family, asked).await;
                }
                sleep(Duration::from_millis(50)).await;
            }
            hold.release().await;
        }
        Trouble::RedisKilled => {
            stand.redis.kill();
            sleep(plan.lasts).await;
            stand.redis.restart();
        }
        Trouble::RedisFlushed => drop(stand.redis.say("FLUSHALL").unwrap()),
        Trouble::RedisRewound => {
            ends().await.unwrap();
            stand.redis.kill();
            std::fs::write(stand.redis.dump(), old_file).unwrap();
            stand.redis.restart();
            std::fs::remove_file(stand.redis.dump()).unwrap();
        }
        Trouble::RedisEmptied => {
            ends().await.unwrap();
            stand.redis.kill();
            stand.redis.restart();
        }
        Trouble::PostgresKilled => stand.kill_postgres().await,
        Trouble::Partitioned => {
            use std::sync::atomic::Ordering::Relaxed;
            stand.line.cut.store(true, Relaxed);
            ends().await.unwrap();
            sleep(crate::BOUNDS.strict + plan.lasts).await;
            stand.line.cut.store(false, Relaxed);
        }
        Trouble::ClockShifted => {
            shift_clock(plan.shift_secs);
            ends().await.unwrap();
            sleep(plan.lasts).await;
            shift_clock(0);
        }
    }
}

const HOLD_FEED: &str = "BEGIN; SET LOCAL ROLE vst_owner; SELECT 1 FROM vst.revocation_feed_head FOR UPDATE";
