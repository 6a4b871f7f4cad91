//! Cases that need more than a script: they walk documents, follow pages, or send many requests at
//! once.

mod config;
mod cursor;
mod limits;
mod paging;
mod race;
mod roundtrip;
mod schemas;
pub(crate) mod tenancy;
mod types;

use crate::case::{Act, Case, Label, Level, Play};

/// The words of a coded case; see `case::Label`.
struct Brief {
    id: &'static str,
    title: &'static str,
    rule: &'static str,
    level: Level,
    says: &'static str,
    todo: &'static str,
    needs: &'static [&'static str],
}

impl Brief {
    fn label(&self, part: &str) -> Label {
        Label {
            id: self.id.into(),
            title: self.title.into(),
            part: part.into(),
            client: None,
            rule: self.rule.into(),
            level: self.level,
            says: self.says.into(),
            todo: self.todo.into(),
            needs: self.needs.iter().map(|need| (*need).to_owned()).collect(),
        }
    }
    fn plays(&self, part: &str, act: Act) -> Case {
        Case { label: self.label(part), play: Play::Coded(act) }
    }
    fn plays_with_troupe(&self, part: &str, act: Act) -> Case {
        Case { label: self.label(part), play: Play::Troupe(act) }
    }
}

pub fn all() -> Vec<Case> {
    [
        config::cases(),
        schemas::cases(),
        roundtrip::cases(),
        paging::cases(),
        cursor::cases(),
        limits::cases(),
        types::cases(),
        race::cases(),
        tenancy::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
