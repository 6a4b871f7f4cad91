//! What a run made and could not take away: each once, in whose tenant it is, and what the server said.

use crate::{
    look,
    wire::{Answer, Credential, Request, Wire},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Why something stays.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Why {
    /// Status, or why there was no answer.
    answered: String,
    /// The server's own words.
    detail: String,
}

/// By tenant and by `/Users/id`, however the server spells the address.
#[derive(Debug, Default)]
pub struct LeftBehind(BTreeMap<(Credential, String), Why>);

fn tenant(credential: Credential) -> &'static str {
    match credential {
        Credential::Other => "--other-token",
        Credential::Own
        | Credential::Nobody
        | Credential::Forged
        | Credential::Shortened
        | Credential::Lengthened
        | Credential::OtherCase => "--token",
    }
}

/// The last two steps of an address.
fn short(path: &str) -> String {
    let mut steps = path.rsplit('/').take(2).collect::<Vec<_>>();
    steps.reverse();
    format!("/{}", steps.join("/"))
}

fn why(answer: Result<Answer, String>) -> Option<Why> {
    match answer {
        Ok(answer) if answer.is_success() || answer.status == 404 => None,
        Ok(answer) => Some(Why {
            answered: answer.status.to_string(),
            detail: look::text(answer.body(), "detail").to_owned(),
        }),
        Err(answered) => Some(Why { answered, detail: String::new() }),
    }
}

impl LeftBehind {
    /// Takes it away, and notes what became of it.
    pub async fn take_away(&mut self, wire: &Wire, credential: Credential, path: &str) {
        let answer = wire.send(&Request::new("DELETE", path.to_owned()).by(credential)).await;
        let place = (credential, short(path));
        match why(answer) {
            None => drop(self.0.remove(&place)),
            Some(why) => drop(self.0.insert(place, why)),
        }
    }

    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For people: a paragraph for each tenant and answer.
    pub fn told(&self) -> String {
        let mut alike: BTreeMap<(Credential, &str), Vec<(&str, &str)>> = BTreeMap::new();
        for ((credential, path), why) in &self.0 {
            alike.entry((*credential, &why.answered)).or_default().push((path, &why.detail));
        }
        let mut text = String::new();
        for ((credential, answered), those) in alike {
            let detail = those.first().map(|(_, detail)| *detail).filter(|detail| !detail.is_empty());
            let said = detail.map_or_else(String::new, |detail| format!(": {detail}"));
            let paths: Vec<&str> = those.iter().map(|(path, _)| *path).collect();
            let (count, tenant) = (paths.len(), tenant(credential));
            text.push_str(&format!(
                "  {count} in the tenant of {tenant}, DELETE answered {answered}{said}\n"
            ));
            text.push_str(&format!("    {}\n", paths.join(" ")));
        }
        text
    }

    pub fn json(&self) -> Value {
        let one = |((credential, path), why): (&(Credential, String), &Why)| json!({"tenant": tenant(*credential), "path": path, "answered": why.answered, "detail": why.detail});
        self.0.iter().map(one).collect()
    }
}
