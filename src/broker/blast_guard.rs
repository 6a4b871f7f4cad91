//! The blast guard: a directory that would take away more than its share of an org within an hour or take their
//! names, take what a group gave from as many at once, or take away the last who administers, is held. Nothing is
//! lost: the directory asks again; an administrator looks at whom the hold names, and lets it through or not.

use crate::{FlowError, Gateway, provision::refused};
use model::{
    Timestamp,
    ids::UserId,
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use scim::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Directory, Door, GuardFacts, Hold, HoldReason, HoldState, OrgScope, ScimClient, TenantTx};

/// Who has one of these administers the org.
pub const ADMINISTRATORS: [&str; 2] = ["owner", "admin"];
/// When a held directory may ask again, in seconds.
pub const RETRY_SECS: u32 = 600;
/// People that a hold names of one change of a group.
pub(crate) const NAMED_MAX: usize = 1_000;

/// How a directory is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Guard {
    Off(Off),
    On {
        /// Of the org's active people, within an hour.
        #[schemars(range(min = 1, max = 100))]
        percent: u32,
        /// So many it may always take away.
        #[schemars(range(min = 1, max = 1_000_000))]
        at_least: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Off {
    Off,
}

/// A guard as it was asked for, whatever that is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AskedGuard(#[schemars(with = "Guard")] Value);

impl AskedGuard {
    /// Errors: `directory.guard`.
    pub fn checked(self) -> Result<Guard, FlowError> {
        match serde_json::from_value(self.0) {
            Ok(guard @ (Guard::Off(_) | Guard::On { percent: 1..=100, at_least: 1..=1_000_000 })) => {
                Ok(guard)
            }
            Ok(Guard::On { .. }) | Err(_) => Err(FlowError::invalid(
                "directory.guard",
                "blast_guard",
                "percent from 1 to 100 and at_least from 1 to 1000000, or \"off\"",
            )),
        }
    }
}

impl Guard {
    /// Of a directory that was made without one, or whose own was taken away.
    pub const USUAL: Self = Self::On { percent: 20, at_least: 10 };

    pub const fn of(directory: &Directory) -> Self {
        match directory.guard {
            (None, _) => Self::Off(Off::Off),
            (Some(percent), at_least) => Self::On { percent, at_least },
        }
    }
    pub const fn columns(self) -> (Option<u32>, u32) {
        match self {
            Self::Off(_) => (None, 10),
            Self::On { percent, at_least } => (Some(percent), at_least),
        }
    }
}

/// Who counts: the org's active people whom this directory did not make within the hour, and whom it took away.
fn counted(facts: &GuardFacts) -> u64 {
    let standing = facts.active.saturating_sub(facts.made);
    u64::try_from(standing.saturating_add(away(facts))).unwrap_or(0)
}

const fn away(facts: &GuardFacts) -> i64 {
    facts.gone.saturating_sub(facts.renamed)
}

/// How many a directory may take away within an hour: its share of those who count, rounded up, and
/// `at_least` in any case.
fn most(facts: &GuardFacts, percent: u32) -> u32 {
    let share = counted(facts).saturating_mul(u64::from(percent)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(facts.at_least)
}

/// Is one more too many? The bound that it would go beyond.
fn beyond(facts: &GuardFacts, now: Timestamp) -> Option<u32> {
    let percent = facts.percent?;
    if facts.open_until.is_some_and(|until| until > now) {
        return None;
    }
    let most = most(facts, percent);
    (facts.gone >= i64::from(most)).then_some(most)
}

/// Why a person is held.
#[derive(Debug)]
pub struct Held {
    reason: HoldReason,
    most: u32,
    facts: GuardFacts,
}

/// What a directory does to a person that the guard looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// They are deactivated or removed.
    Away,
    /// They get another name or address: whoever signs in by it gets their seat.
    Over,
    /// They lose a name or address: who signs in by it gets no seat any more.
    Out,
}

/// The transaction, if the blast guard lets this be done to this person; else it is rolled back and the hold is
/// kept. The person is locked.
pub async fn unless_held(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    mut tx: TenantTx,
    (user, taking): (UserId, Taking),
) -> Result<TenantTx, FlowError> {
    match asks(&mut tx, scope, user, taking).await? {
        None => Ok(tx),
        Some(why) => {
            drop(tx);
            Err(held(gw, scope, why, &[user]).await?)
        }
    }
}

async fn asks(
    tx: &mut TenantTx,
    scope: &OrgScope<ScimClient>,
    user: UserId,
    taking: Taking,
) -> Result<Option<Held>, FlowError> {
    let directory = scope.door().directory;
    let facts = tx.guard_facts(directory, Some(user)).await?;
    if facts.percent.is_none() {
        return Ok(None);
    }
    let held = |reason, most| Held { reason, most, facts };
    let (over, by_hand) = (beyond(&facts, tx.now()), HoldReason::RoleByHand);
    match (taking, over) {
        (Taking::Over, _) => {
            let holds =
                tx.has_role_by_hand(user).await? && !tx.is_approved(directory, by_hand, &[user]).await?;
            return Ok(holds.then(|| held(by_hand, 0)));
        }
        (Taking::Away | Taking::Out, Some(most))
            if !tx.is_approved(directory, HoldReason::Share, &[user]).await? =>
        {
            return Ok(Some(held(HoldReason::Share, most)));
        }
        (Taking::Away | Taking::Out, _) => {}
    }
    if !tx.has_role(user, &ADMINISTRATORS).await? {
        return Ok(None);
    }
    tx.stand_in_the_administrators_line().await?;
    let (last, others) =
        (HoldReason::LastAdministrator, tx.others_have_role(&ADMINISTRATORS, Some(user)).await?);
    let holds = !others && !tx.is_approved(directory, last, &[user]).await?;
    Ok(holds.then(|| held(last, 0)))
}

/// Whom a change of groups left without a team or role (`losers`: its request until now): are they too many for one
/// change, or was the last who administered the org among them? Asked after the change; `administered`: somebody did
/// before it. Answers whom the hold names: of very many the first.
pub async fn asks_of_roles(
    tx: &mut TenantTx,
    scope: &OrgScope<ScimClient>,
    (lost, losers): (&[UserId], &crate::provision::Losers),
    administered: bool,
) -> Result<Option<(Vec<UserId>, Held)>, FlowError> {
    // One who leaves a group is no blast, and costs no line.
    if lost.is_empty() || (losers.len() == 1 && !administered) {
        return Ok(None);
    }
    let directory = scope.door().directory;
    let mut facts = tx.guard_facts(directory, None).await?;
    let Some(percent) = facts.percent else { return Ok(None) };
    let held = |facts, reason, most| Held { reason, most, facts };
    let count = u32::try_from(losers.len()).unwrap_or(u32::MAX);
    let is_open = facts.open_until.is_some_and(|until| until > tx.now());
    if count > facts.at_least && !is_open {
        facts.made = tx.made_lately(directory).await?;
        let named = losers.first(NAMED_MAX);
        // More than a hold names are approved as everybody is.
        let (most, all) = (most(&facts, percent), named.len() == losers.len());
        if count > most && !(all && tx.is_approved(directory, HoldReason::Group, &named).await?) {
            return Ok(Some((named, held(facts, HoldReason::Group, most))));
        }
    }
    if administered {
        tx.stand_in_the_administrators_line().await?;
    }
    if !administered || tx.others_have_role(&ADMINISTRATORS, None).await? {
        return Ok(None);
    }
    for user in lost {
        if !tx.is_approved(directory, HoldReason::LastAdministrator, &[*user]).await? {
            return Ok(Some((vec![*user], held(facts, HoldReason::LastAdministrator, 0))));
        }
    }
    Ok(None)
}

/// Writes down that the directory was held, in a transaction of its own: what it asked for was rolled back.
/// A rehearsal writes nothing down.
pub async fn held(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    held: Held,
    people: &[UserId],
) -> Result<FlowError, FlowError> {
    let directory = scope.door().directory;
    if scope.door().is_rehearsal() {
        return Ok(refused(Problem::Held, &told(&held, None)));
    }
    let mut tx = gw.db.write(scope, "directory.hold").await?;
    // Before the line, as whoever takes the person away: what names the person locks their row.
    let here = tx.lock_users(people).await?;
    let first = *here.first().ok_or(FlowError::Missing)?;
    let (hold, opened) = tx.hold(directory, held.reason, (held.most, held.facts.active), &here).await?;
    let detail = told(&held, Some(&hold));
    if opened {
        let event = AuditEvent::refused(Act::DirectoryHeld)
            .on("directory", directory)
            .value("hold", hold.id.to_string())
            .value("reason", held.reason.as_str())
            .value("most", held.most)
            .value("active", held.facts.active)
            .value("user", first.to_string());
        tx.commit(Record::of(event)).await?;
    } else {
        tx.commit_housekeeping().await?;
    }
    Ok(refused(Problem::Held, &detail))
}

/// How the bound came about, so that it can be reckoned again.
fn reckoned(facts: &GuardFacts) -> String {
    let percent = facts.percent.unwrap_or(0);
    let part = |number: i64, what: &str| {
        if number > 0 { what.replace("{}", &number.to_string()) } else { String::new() }
    };
    format!(
        "{percent} % of {}, at least {}: {} active{}{}",
        counted(facts),
        facts.at_least,
        facts.active,
        part(facts.made, ", less {} made within the hour"),
        part(away(facts), ", plus {} taken away")
    )
}

/// What the identity provider's console shows.
fn told(held: &Held, hold: Option<&Hold>) -> String {
    let why = match held.reason {
        HoldReason::Share => format!(
            "this directory may take away or rename {} people within an hour ({}), and this is one more",
            held.most,
            reckoned(&held.facts)
        ),
        HoldReason::Group => format!(
            "this takes teams or roles from more than {} people at once ({})",
            held.most,
            reckoned(&held.facts)
        ),
        HoldReason::LastAdministrator => "this is the last active person who administers the org".to_owned(),
        HoldReason::RoleByHand => {
            "this person was given a role by hand, and by another name or address somebody else might have it"
                .to_owned()
        }
    };
    match hold {
        Some(hold) if hold.state == HoldState::Refused => {
            format!("{why}; an administrator has refused {}", hold.id)
        }
        Some(hold) => format!("{why}; an administrator must approve {}", hold.id),
        None => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(percent: Option<u32>, gone: i64, active: i64) -> GuardFacts {
        GuardFacts { percent, at_least: 10, open_until: None, gone, renamed: 0, active, made: 0 }
    }

    #[test]
    fn a_share_of_those_who_were_there_and_ten_in_any_case() {
        let now = Timestamp::from_secs(1_000);
        for (facts, bound) in [
            (facts(Some(20), 9, 5), None),
            (facts(Some(20), 10, 5), Some(10)),
            (facts(Some(20), 19, 81), None),
            (facts(Some(20), 20, 80), Some(20)),
            (facts(Some(20), 20, 81), None),
            (facts(Some(100), 99, 1), None),
            (facts(None, 1_000, 1), None),
        ] {
            assert_eq!(beyond(&facts, now), bound, "{facts:?}");
        }
    }

    #[test]
    fn whom_a_directory_made_just_now_adds_nothing_to_its_share() {
        let made = GuardFacts { made: 150, ..facts(Some(20), 10, 190) };
        assert_eq!(beyond(&made, Timestamp::from_secs(1_000)), Some(10));
    }

    /// Whoever reads it can reckon the bound again; of a large org too it is cut nowhere.
    #[test]
    fn a_hold_says_who_counts() {
        let made = GuardFacts { made: 30, ..facts(Some(20), 10, 69) };
        let held = Held { reason: HoldReason::Share, most: 10, facts: made };
        assert_eq!(
            told(&held, None),
            "this directory may take away or rename 10 people within an hour (20 % of 49, at least 10: 69 \
             active, less 30 made within the hour, plus 10 taken away), and this is one more"
        );
        let many = GuardFacts { at_least: 100_000, made: 200_000, ..facts(Some(20), 100_000, 500_000) };
        let held = Held { reason: HoldReason::Share, most: 100_000, facts: many };
        let hold = "; an administrator must approve hold_00000000000000000000000000";
        let place = "User usr_00000000000000000000000000: ";
        let length = told(&held, None).len() + hold.len() + place.len();
        assert!(length <= 300, "{length}");
    }

    #[test]
    fn who_is_renamed_is_still_there_and_widens_no_share() {
        let renamed = |gone| GuardFacts { renamed: gone, ..facts(Some(20), gone, 100) };
        let now = Timestamp::from_secs(1_000);
        assert_eq!((beyond(&renamed(19), now), beyond(&renamed(20), now)), (None, Some(20)));
    }

    #[test]
    fn an_approval_of_everybody_opens_until_its_second_and_no_longer() {
        let end = Timestamp::from_secs(1_000);
        let open = GuardFacts { open_until: Some(end), ..facts(Some(20), 50, 50) };
        assert_eq!(beyond(&open, end.plus_secs(-1)), None);
        assert_eq!(beyond(&open, end), Some(20));
    }
}
