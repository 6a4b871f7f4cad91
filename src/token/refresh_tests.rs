use super::*;
use crate::text::testing::Seeded;
use uuid::Uuid;

const BORN: Timestamp = Timestamp::from_secs(1_800_000_000);

fn app(n: u128) -> AppId {
    AppId::from_uuid(Uuid::from_u128(n))
}

fn key(byte: u8) -> RefreshKey {
    RefreshKey::new(Secret::new([byte; 32]))
}

fn token(generation: u32) -> Presented {
    let id = Uuid::from_u128(11);
    Presented { org: OrgId::from_uuid(id), family: FamilyId::from_uuid(id), generation }
}

fn family(generation: u32) -> Family {
    Family {
        client_id: app(1),
        generation,
        rotated_at: BORN,
        successor_used: false,
        expires_at: BORN.plus_secs(1_000),
        idle_expires_at: BORN.plus_secs(500),
        ended: None,
    }
}

#[test]
fn a_generation_has_the_same_bytes_each_time_and_opens_to_itself() {
    let text = key(1).issue(&token(7));
    assert_eq!(text.reveal(), key(1).issue(&token(7)).reveal());
    assert_ne!(text.reveal(), key(1).issue(&token(8)).reveal());
    assert_eq!(key(1).open(text.reveal()), Ok(token(7)));
    assert_eq!(key(2).open(text.reveal()).unwrap_err().code, "token.refresh_forged");
}

#[test]
fn every_changed_or_missing_letter_is_refused() {
    let issued = key(1).issue(&token(7));
    let text = issued.reveal();
    for at in 0..text.len() {
        assert_eq!(key(1).open(&text[..at]).unwrap_err().code, "token.refresh_malformed");
        for letter in ['A', 'Q', 'g', '_'] {
            let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            assert_eq!(key(1).open(&changed).is_ok(), changed == *text, "{at} {letter}");
        }
    }
    for bad in [format!("{text}="), format!("{text}A"), format!("{text} "), text.to_uppercase()] {
        assert_eq!(key(1).open(&bad).unwrap_err().code, "token.refresh_malformed", "{bad}");
    }
}

#[test]
fn each_verdict_at_its_edges() {
    let judged = |family: &Family, presented, now| judge(family, presented, app(1), 10, now);
    let at = |secs| BORN.plus_secs(secs);
    assert_eq!(judged(&family(3), 3, at(1)), Verdict::Rotate { next: 4 });
    assert_eq!(judged(&family(3), 2, at(9)), Verdict::Resend { next: 3 });
    assert_eq!(judged(&family(3), 2, at(10)), Verdict::Replay, "the grace is over at its second");
    assert_eq!(judged(&family(3), 1, at(1)), Verdict::Replay);
    assert_eq!(judged(&family(3), 4, at(1)), Verdict::Replay, "the database was set back");
    assert_eq!(judged(&family(0), u32::MAX, at(1)), Verdict::Replay, "no wrap-around");
    assert_eq!(judged(&Family { successor_used: true, ..family(3) }, 2, at(1)), Verdict::Replay);
    assert_eq!(judged(&family(3), 3, at(499)), Verdict::Rotate { next: 4 });
    assert_eq!(judged(&family(3), 3, at(500)), Verdict::Expired, "idle");
    let busy = Family { idle_expires_at: at(2_000), ..family(3) };
    assert_eq!(judged(&busy, 3, at(999)), Verdict::Rotate { next: 4 });
    assert_eq!(judged(&busy, 3, at(1_000)), Verdict::Expired, "absolute");
    assert_eq!(judged(&Family { ended: Some(BORN), ..family(3) }, 3, at(1)), Verdict::Expired);
    assert_eq!(judged(&family(u32::MAX), u32::MAX, at(1)), Verdict::Expired);
}

#[test]
fn a_grace_of_zero_lets_nothing_through_even_when_clocks_run_back() {
    assert_eq!(judge(&family(3), 2, app(1), 0, BORN.minus_secs(5)), Verdict::Replay);
    assert_eq!(judge(&family(3), 2, app(1), 0, BORN), Verdict::Replay);
}

#[test]
fn another_client_is_foreign_whatever_it_holds_and_ends_nothing() {
    for presented in 0..5 {
        assert_eq!(judge(&family(3), presented, app(2), 10, BORN), Verdict::Foreign);
    }
}

/// The world beside the judge: the row, and which generations anybody was ever handed.
#[derive(Clone)]
struct World {
    family: Family,
    handed_out: u32,
    now: Timestamp,
    replays: u32,
}

impl World {
    fn present(&mut self, generation: u32, client: AppId, grace_secs: u32) -> Verdict {
        let verdict = judge(&self.family, generation, client, grace_secs, self.now);
        match verdict {
            Verdict::Rotate { next } => {
                assert_eq!(next, self.handed_out + 1, "a generation is born once");
                self.handed_out = next;
                self.family.generation = next;
                self.family.rotated_at = self.now;
                self.family.idle_expires_at = self.now.plus_secs(500);
            }
            Verdict::Resend { next } => assert_eq!(next, self.handed_out, "resend gives only the newest"),
            Verdict::Replay => {
                self.family.ended = Some(self.now);
                self.replays += 1;
            }
            Verdict::Expired | Verdict::Foreign => {}
        }
        verdict
    }

    /// The property: of all generations ever handed out at most one is live, and it is the newest.
    fn holds(&self, grace_secs: u32) {
        let verdicts = |g| judge(&self.family, g, app(1), grace_secs, self.now);
        let live: Vec<u32> =
            (0..=self.handed_out).filter(|g| matches!(verdicts(*g), Verdict::Rotate { .. })).collect();
        assert!(live.is_empty() || live == [self.handed_out], "{live:?}");
        if self.replays > 0 {
            assert!(live.is_empty(), "after a replay nothing is live");
            assert!((0..=self.handed_out).all(|g| verdicts(g) == Verdict::Expired));
        }
    }
}

/// Every sequence of `left` steps: any generation so far, at once or within or beyond the grace.
fn walk(world: &World, left: u32, grace_secs: u32, seen: &mut u64) {
    world.holds(grace_secs);
    *seen += 1;
    if left == 0 {
        return;
    }
    for generation in 0..=world.handed_out {
        for wait_secs in [0, 5, 20] {
            let mut next = world.clone();
            next.now = next.now.plus_secs(wait_secs);
            next.present(generation, app(1), grace_secs);
            walk(&next, left - 1, grace_secs, seen);
        }
    }
}

#[test]
fn any_interleaving_leaves_at_most_one_live_generation() {
    for grace_secs in [0, 10] {
        let world = World { family: family(0), handed_out: 0, now: BORN, replays: 0 };
        let mut seen = 0;
        walk(&world, 6, grace_secs, &mut seen);
        assert!(seen > 1_000, "{seen}");
    }
}

#[test]
fn long_seeded_runs_keep_the_property_with_strangers_and_jumping_clocks() {
    for seed in 0..200 {
        let chance = Seeded::new(seed);
        let mut world = World { family: family(0), handed_out: 0, now: BORN, replays: 0 };
        let grace_secs = if seed % 2 == 0 { 10 } else { 0 };
        for _ in 0..60 {
            let roll = chance.next();
            world.now = world.now.plus_secs((roll % 25) as i64 - 3);
            let client = app(1 + u128::from((roll >> 8).is_multiple_of(8)));
            let back = ((roll >> 16) % 16).saturating_sub(13) as u32;
            let before = world.family.clone();
            let verdict = world.present(world.handed_out.saturating_sub(back), client, grace_secs);
            if client != app(1) {
                assert_eq!((verdict, &world.family), (Verdict::Foreign, &before), "seed {seed}");
            }
            world.holds(grace_secs);
        }
    }
}
