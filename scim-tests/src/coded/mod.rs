//! What cases do that no script can say: they walk documents, follow pages, or send many requests at
//! once. Their words are in the files of cases, as every other's (`[[coded]]`).

mod config;
mod cursor;
mod limits;
mod paging;
mod race;
mod roundtrip;
mod schemas;
pub(crate) mod tenancy;
mod types;

use crate::case::{Act, Play};

/// Who is on the stage with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    Alone,
    Troupe,
}

/// A case's id and what it does.
pub type Coded = (&'static str, Act, Cast);

pub const ALL: [&[Coded]; 9] = [
    config::ACTS,
    schemas::ACTS,
    roundtrip::ACTS,
    paging::ACTS,
    cursor::ACTS,
    limits::ACTS,
    types::ACTS,
    race::ACTS,
    tenancy::ACTS,
];

/// What the case of this id does; `None` when nothing is written for it.
pub fn play(id: &str) -> Option<Play> {
    let (_, act, cast) = ALL.iter().copied().flatten().find(|(one, _, _)| *one == id)?;
    Some(match cast {
        Cast::Alone => Play::Coded(*act),
        Cast::Troupe => Play::Troupe(*act),
    })
}
