use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: i64 = 86_400;
const ES: SigningAlg = SigningAlg::Es256;

fn key(kid: &str, state: KeyState, age_secs: i64) -> KeyDates {
    let then = NOW.minus_secs(age_secs);
    KeyDates {
        kid: kid.to_owned(),
        alg: ES,
        state,
        made_at: then,
        signs_at: (state != KeyState::Next).then_some(then),
        ends_at: (state == KeyState::Retiring).then(|| then.plus_secs(RETIRING_SECS)),
    }
}

fn rotation(from: &str, to: &str) -> Vec<Step> {
    vec![
        Step::Retire { kid: from.to_owned(), ends_at: NOW.plus_secs(RETIRING_SECS) },
        Step::Promote { kid: to.to_owned() },
        Step::Make { alg: ES, state: KeyState::Next },
    ]
}

#[test]
fn the_schedule_rotates_at_the_second_and_not_before() {
    let of = |age, published| {
        let keys = [key("a", KeyState::Current, age), key("b", KeyState::Next, published)];
        steps(&keys, Wish::Schedule { rotate_secs: 90 * DAY }, NOW).unwrap()
    };
    assert_eq!(of(90 * DAY - 1, DAY), vec![]);
    assert_eq!(of(90 * DAY, DAY), rotation("a", "b"));
    assert_eq!(of(90 * DAY, PUBLISHED_FIRST_SECS - 1), vec![], "not published for long enough");
    assert_eq!(of(90 * DAY, PUBLISHED_FIRST_SECS), rotation("a", "b"));
}

#[test]
fn the_schedule_makes_what_is_next_and_takes_away_what_is_over() {
    let wish = Wish::Schedule { rotate_secs: 90 * DAY };
    let make = Step::Make { alg: ES, state: KeyState::Next };
    assert_eq!(steps(&[key("a", KeyState::Current, 0)], wish, NOW), Ok(vec![make]));
    let with = |age| {
        let keys =
            [key("a", KeyState::Current, 0), key("b", KeyState::Next, 0), key("c", KeyState::Retiring, age)];
        steps(&keys, wish, NOW).unwrap()
    };
    assert_eq!(with(RETIRING_SECS - 1), vec![]);
    assert_eq!(with(RETIRING_SECS), vec![Step::Remove { kid: "c".to_owned() }]);
    assert_eq!(steps(&[], wish, NOW), Ok(vec![]), "what no app asked for is not made");
}

#[test]
fn a_command_rotates_what_every_jwks_has_or_with_haste_at_once() {
    let of = |published, haste| {
        let keys = [key("a", KeyState::Current, 5), key("b", KeyState::Next, published)];
        steps(&keys, Wish::Rotate { alg: ES, haste }, NOW)
    };
    let young = NotNow::TooYoung { from: NOW.plus_secs(1) };
    assert_eq!(of(JWKS_MAX_AGE_SECS - 1, Haste::Published), Err(young));
    assert_eq!(of(JWKS_MAX_AGE_SECS, Haste::Published), Ok(rotation("a", "b")));
    assert_eq!(of(0, Haste::Now), Ok(rotation("a", "b")));
    let alone = [key("a", KeyState::Current, 5)];
    let wish = |haste| Wish::Rotate { alg: ES, haste };
    assert!(matches!(steps(&alone, wish(Haste::Published), NOW), Err(NotNow::TooYoung { .. })));
    let made = steps(&alone, wish(Haste::Now), NOW).unwrap();
    assert_eq!(made[1], Step::Make { alg: ES, state: KeyState::Current });
    assert_eq!(steps(&[], wish(Haste::Now), NOW), Err(NotNow::NotInUse));
}

#[test]
fn so_many_keys_retire_at_once_and_no_more() {
    let mut keys = vec![key("a", KeyState::Current, 100 * DAY), key("b", KeyState::Next, 100 * DAY)];
    let more = (0..RETIRING_MAX).map(|n| key(&format!("r{n}"), KeyState::Retiring, DAY));
    keys.extend(more);
    let rotate = Wish::Rotate { alg: ES, haste: Haste::Now };
    assert_eq!(steps(&keys, rotate, NOW), Err(NotNow::TooMany));
    assert_eq!(steps(&keys, Wish::Schedule { rotate_secs: DAY }, NOW), Ok(vec![]));
    keys.pop();
    assert!(steps(&keys, rotate, NOW).is_ok());
    assert!(SigningAlg::ALL.len() * (RETIRING_MAX + 2) <= 32, "what verifiers read of a JWKS");
}

#[test]
fn a_withdrawn_key_is_followed_by_the_next_and_comes_back_by_nothing() {
    let keys = [
        key("a", KeyState::Current, 5),
        key("b", KeyState::Next, 0),
        key("c", KeyState::Retiring, 5),
        key("d", KeyState::Withdrawn, 5),
    ];
    let of = |kid| steps(&keys, Wish::Withdraw { kid }, NOW);
    let gone = |kid: &str| Step::Withdraw { kid: kid.to_owned() };
    let next = Step::Make { alg: ES, state: KeyState::Next };
    assert_eq!(of("a"), Ok(vec![gone("a"), Step::Promote { kid: "b".to_owned() }, next.clone()]));
    assert_eq!(of("b"), Ok(vec![gone("b"), next.clone()]));
    assert_eq!(of("c"), Ok(vec![gone("c")]));
    assert_eq!(of("d"), Err(NotNow::Unknown));
    assert_eq!(of("e"), Err(NotNow::Unknown));
    let alone = steps(&keys[..1], Wish::Withdraw { kid: "a" }, NOW).unwrap();
    assert_eq!(alone, vec![gone("a"), Step::Make { alg: ES, state: KeyState::Current }, next]);
}

#[test]
fn an_algorithm_is_made_once_it_is_asked_for() {
    let have = |keys: &[KeyDates], alg| steps(keys, Wish::Have { alg }, NOW).unwrap();
    let keys = [key("a", KeyState::Current, 0)];
    assert_eq!(have(&keys, ES), vec![]);
    let rs = SigningAlg::Rs256;
    let born = [KeyState::Current, KeyState::Next].map(|state| Step::Make { alg: rs, state });
    assert_eq!(have(&keys, rs), born);
}
