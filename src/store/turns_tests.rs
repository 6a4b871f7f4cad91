use super::*;
use uuid::Uuid;

fn org(n: u128) -> OrgId {
    OrgId::from_uuid(Uuid::from_u128(n))
}

async fn people_come(turns: &Arc<Turns>, n: u128) {
    drop(turns.take_by(Passage::SignIn, org(n), true).await.unwrap());
}

#[tokio::test]
async fn one_org_has_its_share_and_no_more_and_another_has_its_own() {
    let turns = Turns::new(16, Duration::from_millis(20));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(turns.take(org(1)).await.unwrap());
    }
    assert!(matches!(turns.take(org(1)).await, Err(Error::Crowded)));
    assert!(turns.take(org(2)).await.is_ok());
    held.pop();
    assert!(turns.take(org(1)).await.is_ok());
    assert_eq!(Turns::new(3, Duration::ZERO).each, 2);
}

#[tokio::test]
async fn a_directory_leaves_one_turn_to_others() {
    let turns = Turns::new(16, Duration::from_millis(20));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(turns.take_for_directory(org(1)).await.unwrap());
    }
    assert!(matches!(turns.take_for_directory(org(1)).await, Err(Error::Crowded)));
    assert!(turns.take(org(1)).await.is_ok());
    held.pop();
    assert!(turns.take_for_directory(org(1)).await.is_ok());
}

#[tokio::test]
async fn all_directories_together_leave_a_quarter_to_others() {
    let turns = Turns::new(32, Duration::from_millis(20));
    let mut held = Vec::new();
    for n in 0..24 {
        held.push(turns.take_for_directory(org(n % 5)).await.unwrap());
    }
    assert!(matches!(turns.take_for_directory(org(7)).await, Err(Error::Crowded)));
    for n in 0..8 {
        held.push(turns.take_by(Passage::SignIn, org(n), true).await.unwrap().unwrap());
    }
    held.remove(0);
    assert!(turns.take_for_directory(org(7)).await.is_ok());
    for pool_max in [1, 2, 3] {
        assert!(Turns::new(pool_max, Duration::ZERO).take_for_directory(org(1)).await.is_ok());
    }
}

#[tokio::test]
async fn a_directory_stands_back_while_people_of_another_org_are_here() {
    let turns = Turns::new(32, Duration::from_millis(60));
    let alone = (turns.take_for_directory(org(1)).await, turns.take_for_directory(org(1)).await);
    assert!(alone.0.is_ok() && alone.1.is_ok());
    for passage in [Passage::SignIn, Passage::Administer] {
        drop(turns.take_by(passage, org(2), false).await.unwrap());
    }
    let named = (turns.take_for_directory(org(1)).await, turns.take_for_directory(org(1)).await);
    assert!(named.0.is_ok() && named.1.is_ok(), "whoever only names another org is a stranger");
    let third = turns.take_for_directory(org(1)).await;
    assert!(third.is_ok());
    drop((named, third));
    people_come(&turns, 2).await;
    let mut held = vec![turns.take_for_directory(org(1)).await.unwrap()];
    held.push(turns.take_for_directory(org(1)).await.unwrap());
    assert!(matches!(turns.take_for_directory(org(1)).await, Err(Error::Crowded)));
    assert!(turns.take(org(1)).await.is_ok(), "its people do not");
    held.pop();
    assert!(turns.take_for_directory(org(1)).await.is_ok());
}

#[tokio::test]
async fn a_directory_stands_back_for_who_administers_and_not_for_its_own_people_another_directory_or_a_job() {
    let turns = Turns::new(32, Duration::from_millis(60));
    let is_wide = async || {
        let held = (0..NARROW_LEAST).map(|_| turns.take_by(Passage::Provision, org(1), true));
        let held = futures_util::future::join_all(held).await;
        held.iter().all(Result::is_ok) && turns.take_for_directory(org(1)).await.is_ok()
    };
    people_come(&turns, 1).await;
    assert!(turns.take_by(Passage::Operate, org(2), true).await.unwrap().is_none());
    drop(turns.take_by(Passage::Provision, org(2), true).await.unwrap());
    drop(turns.take_for_rehearsal(org(2), 1).await.unwrap());
    assert!(is_wide().await);
    drop(turns.take_by(Passage::Administer, org(2), true).await.unwrap());
    assert!(!is_wide().await);
}

#[tokio::test]
async fn a_burst_of_a_directorys_is_spread_out_while_another_org_is_here() {
    let turns = Turns::new(32, Duration::from_secs(5));
    let burst = async || {
        let began = Instant::now();
        for _ in 0..8 {
            drop(turns.take_for_directory(org(1)).await.unwrap());
        }
        began.elapsed()
    };
    people_come(&turns, 2).await;
    assert!(burst().await >= NARROW_LASTS * 3, "two at a time");
    sleep(NARROW_LASTS * 2).await;
    let directories = turns.directories.as_ref().unwrap();
    assert!(directories.narrow.orgs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_directory_crowds_with_begins_one_after_the_other() {
    let turns = Turns::new(32, Duration::from_secs(5));
    people_come(&turns, 2).await;
    let begins = (0..6).map(|_| {
        let turns = turns.clone();
        tokio::spawn(async move {
            let turn = turns.take_for_directory(org(1)).await.unwrap();
            let began = Instant::now();
            drop(turn);
            began
        })
    });
    let mut began = Vec::new();
    for one in begins.collect::<Vec<_>>() {
        began.push(one.await.unwrap());
    }
    began.sort();
    let apart = turns.directories.as_ref().unwrap().apart();
    assert_eq!(apart * 2, NARROW_LASTS);
    let crowding = &began[NARROW_LEAST..];
    for pair in crowding.windows(2) {
        assert!(pair[1].duration_since(pair[0]) >= apart - Duration::from_millis(1), "{began:?}");
    }
}

#[tokio::test]
async fn a_directory_that_crowds_waits_for_a_lull_and_one_that_does_not_does_not() {
    let turns = Turns::new(16, Duration::from_secs(5));
    let began = async || {
        let began = Instant::now();
        let turn = turns.take_for_directory(org(1)).await.unwrap();
        (turn, began.elapsed())
    };
    people_come(&turns, 2).await;
    let person = turns.take_by(Passage::SignIn, org(2), true).await.unwrap();
    assert_eq!(turns.directories.as_ref().unwrap().people().here, 1);
    let first = Instant::now();
    for _ in 0..NARROW_LEAST {
        let (turn, waited) = began().await;
        assert!(waited < NARROW_LASTS, "{waited:?}");
        drop(turn);
    }
    let (turn, _) = began().await;
    let waited = first.elapsed();
    assert!(waited >= NARROW_LASTS + STANDS_BACK, "somebody signs in all the time: {waited:?}");
    drop((turn, person));
    assert_eq!(turns.directories.as_ref().unwrap().people().here, 0);
}

#[test]
fn a_lull_is_so_long_after_the_last_has_left() {
    let now = Instant::now();
    let lull_in = |here, left| People { here, left }.lull_in(now + LULL);
    assert_eq!((lull_in(0, None), lull_in(0, Some(now))), (None, None));
    assert_eq!(lull_in(0, Some(now + LULL / 3)), Some(LULL / 3));
    assert_eq!((lull_in(1, None), lull_in(1, Some(now))), (Some(LULL), Some(LULL)));
}

#[test]
fn another_org_is_here_for_a_while_whoever_came_last() {
    let (mut last, now) = (LastHere::default(), Instant::now());
    assert!(!last.has_others(org(1), now));
    last.note(org(2), now);
    last.note(org(1), now);
    last.note(org(1), now);
    assert!(last.has_others(org(1), now) && last.has_others(org(2), now) && last.has_others(org(3), now));
    last.note(org(1), now + HERE);
    assert!(!last.has_others(org(1), now + HERE));
    assert!(last.has_others(org(2), now + HERE));
}

#[tokio::test]
async fn nobody_is_remembered_who_is_not_here() {
    let turns = Turns::new(8, Duration::from_millis(5));
    let held = (turns.take(org(1)).await.unwrap(), turns.take(org(1)).await.unwrap());
    assert!(turns.take(org(1)).await.is_err());
    drop(Box::pin(turns.take(org(3))));
    assert_eq!(turns.orgs.lock().unwrap().len(), 1);
    drop(held);
    assert!(turns.orgs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn too_many_are_turned_away_at_once() {
    let turns = Turns::new(8, Duration::from_secs(60));
    let mut waiting = Vec::new();
    for _ in 0..2 + WAITING_MAX {
        let turns = turns.clone();
        waiting.push(tokio::spawn(async move { turns.take(org(1)).await.map(std::mem::forget) }));
    }
    let here = || turns.orgs.lock().unwrap().get(&org(1)).map_or(0, Arc::strong_count);
    while here() < 3 + WAITING_MAX {
        tokio::task::yield_now().await;
    }
    let refused = timeout(Duration::from_secs(1), turns.take(org(1))).await;
    assert!(matches!(refused, Ok(Err(Error::Crowded))), "at once");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_directory_tries_one_thing_at_a_time_and_leaves_the_other_turns_to_what_is_meant() {
    let turns = Turns::new(32, Duration::from_millis(200));
    let tried = turns.take_for_rehearsal(org(1), 60).await.unwrap();
    assert!(matches!(turns.take_for_rehearsal(org(1), 1).await, Err(Error::Crowded)));
    assert!(
        turns.take_for_rehearsal(org(2), 1).await.is_ok() && turns.take_for_directory(org(1)).await.is_ok()
    );
    drop(tried);
    people_come(&turns, 2).await;
    let apart = turns.directories.as_ref().unwrap().apart();
    let began = Instant::now();
    drop(turns.take_for_rehearsal(org(1), 6).await.unwrap());
    assert!(turns.take_for_directory(org(1)).await.is_ok(), "while it rests");
    drop(turns.take_for_rehearsal(org(1), 0).await.unwrap());
    assert!(began.elapsed() >= apart * 6, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_line_is_full_sooner_where_a_directory_is_paced_and_of_that_org_alone() {
    let turns = Turns::new(32, Duration::from_secs(60));
    people_come(&turns, 2).await;
    let directories = turns.directories.as_ref().unwrap();
    let mut here = Vec::new();
    let mut comes = async |count| {
        for _ in 0..count {
            let turns = turns.clone();
            here.push(tokio::spawn(
                async move { turns.take_for_directory(org(1)).await.map(std::mem::forget) },
            ));
        }
        while directories.wide.waiting(org(1)) < here.len().saturating_sub(directories.wide.each) {
            tokio::task::yield_now().await;
        }
    };
    comes(directories.wide.each + 63).await;
    assert!(!turns.is_backed_up(org(1)));
    comes(1).await;
    assert!(turns.is_backed_up(org(1)) && !turns.is_backed_up(org(2)), "32 for each of its two turns");
    *directories.last() = LastHere::default();
    assert!(!turns.is_backed_up(org(1)), "nobody else is here");
    comes(WAITING_MAX - 64).await;
    assert!(turns.is_backed_up(org(1)));
    here.iter().for_each(tokio::task::JoinHandle::abort);
}
