//! The rule of revocation, held against its plainest form: a list of everything that was revoked.

use super::*;
use crate::claims::Expected;

/// A seed's chance (splitmix64): the same run each time.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

const KEEPS: Duration = Duration::from_secs(3_600);

fn claims(org: u64, rs: u64, ids: [u64; 4]) -> Claims {
    let [user, session, app, connection] = ids;
    let payload = format!(
        r#"{{"iss":"i","aud":"a","sub":"usr_{user}","org_id":"org_{org}","team_ids":[],"roles":[],"client_id":"app_{app}",
        "sid":"ses_{session}","con":"con_{connection}","rs":{rs},"auth_time":1,"iat":1,"exp":2,"jti":"j"}}"#
    );
    let expected = Expected { issuer: "i".into(), audience: "a".into(), leeway_secs: 0 };
    Claims::read(payload.as_bytes(), &expected, 1).unwrap()
}

fn revocation(org: u64, seq: u64, scope: &str, action: &str) -> Revocation {
    Revocation { org: format!("org_{org}"), seq, scope: scope.into(), action: action.into() }
}

/// The rule of `src/model/revocation.rs`: for any scope it names a watermark is above its `rs`.
fn by_the_rule(all: &[Revocation], org: u64, rs: u64, ids: [u64; 4]) -> Option<Action> {
    let [user, session, app, connection] = ids;
    let named = [
        "org".to_owned(),
        format!("usr:usr_{user}"),
        format!("ses:ses_{session}"),
        format!("app:app_{app}"),
        format!("con:con_{connection}"),
    ];
    let biting = |action: &str| {
        all.iter().any(|r| {
            r.org == format!("org_{org}") && r.seq > rs && named.contains(&r.scope) && r.action == action
        })
    };
    match (biting("terminate"), biting("reassert")) {
        (true, _) => Some(Action::Terminate),
        (false, true) => Some(Action::Reassert),
        (false, false) => None,
    }
}

fn any(chance: &mut Seeded, heads: &mut [u64]) -> Revocation {
    let org = chance.below(heads.len() as u64);
    heads[org as usize] += 1;
    let id = chance.below(4);
    let scope = match chance.below(9) {
        0 => "org".to_owned(),
        1 | 2 => format!("usr:usr_{id}"),
        3 | 4 => format!("ses:ses_{id}"),
        5 | 6 => format!("app:app_{id}"),
        _ => format!("con:con_{id}"),
    };
    revocation(org, heads[org as usize], &scope, ["terminate", "reassert"][chance.below(2) as usize])
}

#[test]
fn a_token_is_dead_if_and_only_if_the_rule_says_so_in_whatever_order_it_is_heard() {
    for seed in 0..60 {
        let mut chance = Seeded(seed);
        let now = Instant::now();
        let mut marks = Watermarks::new(100_000, KEEPS, now);
        let (mut all, mut heads) = (Vec::new(), [0; 3]);
        for _ in 0..40 {
            all.push(any(&mut chance, &mut heads));
        }
        // Shuffled, some of them twice.
        let mut heard = all.clone();
        for at in (1..heard.len()).rev() {
            heard.swap(at, chance.below(at as u64 + 1) as usize);
        }
        let again = heard.iter().take(10).cloned().collect::<Vec<_>>();
        marks.apply(&heard, KEEPS, now);
        marks.apply(&again, KEEPS, now);
        for _ in 0..300 {
            let (org, rs) = (chance.below(4), chance.below(20));
            let ids = [0; 4].map(|_| chance.below(5));
            let ours = marks.ends(&claims(org, rs, ids));
            assert_eq!(ours, by_the_rule(&all, org, rs, ids), "seed {seed}: org {org} rs {rs} {ids:?}");
        }
    }
}

/// With too little room tokens may die that live by the rule; none may live that is dead by it, and a
/// token minted after everything lives.
#[test]
fn too_many_marks_refuse_too_much_and_never_too_little() {
    for seed in 0..40 {
        let mut chance = Seeded(seed);
        let now = Instant::now();
        let mut marks = Watermarks::new(20, KEEPS, now);
        let (mut all, mut heads) = (Vec::new(), [0; 6]);
        for _ in 0..200 {
            let next = any(&mut chance, &mut heads);
            marks.apply(std::slice::from_ref(&next), KEEPS, now);
            all.push(next);
            if all.len() == 100 {
                drop(marks.turn(now + KEEPS + MARGIN));
            }
            assert!(marks.len() <= 20, "seed {seed}: {} marks", marks.len());
        }
        assert!(marks.tell_all(Duration::ZERO), "six orgs have room as wholes");
        for _ in 0..300 {
            let (org, rs) = (chance.below(6), chance.below(60));
            let ids = [0; 4].map(|_| chance.below(5));
            let (ours, rule) = (marks.ends(&claims(org, rs, ids)), by_the_rule(&all, org, rs, ids));
            assert!(ours.is_some() || rule.is_none(), "seed {seed}: org {org} rs {rs} {ids:?}");
            assert!(
                rule != Some(Action::Terminate) || ours == rule,
                "seed {seed}: org {org} rs {rs} {ids:?}"
            );
            assert_eq!(marks.ends(&claims(org, heads[org as usize], ids)), None, "seed {seed}");
        }
    }
}

/// More orgs than there is room for: the marks do not tell all, until what was lost cannot matter.
#[test]
fn what_had_no_room_at_all_is_said() {
    let now = Instant::now();
    let mut marks = Watermarks::new(20, KEEPS, now);
    let many: Vec<_> = (0..21).map(|org| revocation(org, 1, "org", "terminate")).collect();
    marks.apply(&many[..20], KEEPS, now);
    assert!(marks.tell_all(Duration::ZERO));
    marks.apply(&many[20..], KEEPS, now);
    assert!(!marks.tell_all(Duration::ZERO));
    let later = now + KEEPS + MARGIN;
    drop(marks.turn(later - Duration::from_millis(1)));
    assert!(!marks.tell_all(Duration::ZERO));
    drop(marks.turn(later));
    assert!(marks.tell_all(Duration::ZERO));
}

/// A mark is kept for as long as the gateway keeps it, at least, and not for ever.
#[test]
fn marks_are_forgotten_when_no_token_can_be_touched_by_them() {
    let start = Instant::now();
    let dead = claims(1, 5, [1; 4]);
    for offset in [0, 1, 1_800, 3_659] {
        let mut marks = Watermarks::new(100, KEEPS, start);
        let born = start + Duration::from_secs(offset);
        drop(marks.turn(born));
        marks.apply(&[revocation(1, 6, "usr:usr_1", "terminate")], KEEPS, born);
        let mut now = born;
        let mut forgotten = None;
        while now < born + 3 * KEEPS {
            drop(marks.turn(now));
            if marks.ends(&dead).is_none() {
                forgotten.get_or_insert(now - born);
            }
            now += Duration::from_secs(30);
        }
        let forgotten = forgotten.expect("it is forgotten");
        assert!(forgotten > KEEPS + MARGIN - Duration::from_secs(1), "{forgotten:?} after {offset}");
        assert_eq!(marks.len(), 0);
    }
    let marks = Watermarks::new(100, KEEPS, start);
    assert!(marks.tell_all(KEEPS));
    assert!(!marks.tell_all(KEEPS + Duration::from_secs(1)), "older than the memory");
}
