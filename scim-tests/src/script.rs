//! The files of cases: `cases/*.toml` from the RFCs, `dialects/*.toml` as a client speaks. Read once
//! at the start; what is misspelt there is an error, not a silent pass.

use crate::{
    case::{Case, Label, Play},
    coded,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    part: String,
    client: Option<String>,
    /// Of the cases that name none.
    rule: Option<String>,
    says: Option<String>,
    #[serde(rename = "do")]
    todo: Option<String>,
    /// Of every case, beside its own.
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    case: Vec<Entry>,
    #[serde(default)]
    person: Vec<Person>,
    #[serde(default)]
    find: Vec<Entry>,
    #[serde(default)]
    refuse: Vec<Entry>,
    #[serde(default)]
    sort: Vec<Entry>,
    #[serde(default)]
    probe: Vec<Entry>,
    #[serde(default)]
    coded: Vec<Entry>,
}

/// One of the troupe.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub name: String,
    pub with: String,
}

/// One entry of `case`, `coded`, `find`, `refuse`, `sort` or `probe`; which of the lower half it must have, `read` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    title: Option<String>,
    rule: Option<String>,
    level: Option<String>,
    says: Option<String>,
    #[serde(rename = "do")]
    todo: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    steps: Option<Vec<Step>>,
    filter: Option<String>,
    finds: Option<Vec<String>>,
    by: Option<String>,
    order: Option<String>,
    gives: Option<Vec<Vec<String>>>,
    of: Option<String>,
    step: Option<Step>,
}

/// What statuses will do: `200`, `[200, 204]`, `"4xx"`, `"not 5xx"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Status {
    One(u16),
    Several(Vec<u16>),
    Class(String),
}

impl Status {
    pub fn takes(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::Several(several) => several.contains(&status),
            Self::Class(class) => match class.strip_prefix("not ") {
                Some(class) => !in_class(class, status),
                None => in_class(class, status),
            },
        }
    }
    pub fn words(&self) -> String {
        match self {
            Self::One(one) => one.to_string(),
            Self::Several(several) => several.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
            Self::Class(class) => class.clone(),
        }
    }
}

fn in_class(class: &str, status: u16) -> bool {
    class
        .chars()
        .next()
        .and_then(|digit| digit.to_digit(10))
        .is_some_and(|digit| digit == u32::from(status / 100))
}

/// One step of a script: makes a user or a group, or sends a request and looks at the answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub user: Option<String>,
    pub group: Option<String>,
    /// Names of users made before.
    #[serde(default)]
    pub members: Vec<String>,
    /// JSON put over the usual body of the user or group.
    pub with: Option<String>,
    /// For `send`: the body is the usual one of a user of this name, with `with` over it.
    pub usual: Option<String>,

    /// `GET /Users/${ada.id}`.
    pub send: Option<String>,
    /// Query parameters, percent-encoded as they are sent.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    /// The `Operations` of a PATCH, the rest of the body is added.
    pub patch: Option<String>,
    /// The `Operations` of a Bulk request, likewise.
    pub bulk: Option<String>,
    /// `own` (the usual), `other`, `nobody`, `forged`, `shortened`, `lengthened`, `other-case`.
    #[serde(rename = "as")]
    pub credential: Option<String>,
    pub status: Option<Status>,
    /// An answer by which the server says that it does not offer this: the case is skipped.
    pub unless: Option<Status>,
    /// A SCIM error with this scimType; `any` for any or none.
    pub error: Option<String>,
    #[serde(default)]
    pub expect: Vec<String>,
    #[serde(default)]
    pub should: Vec<String>,
    /// What later steps call by name: `{etag = "@header.ETag"}`.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Only prepares: a failure blocks the case.
    #[serde(default)]
    pub setup: bool,
    /// Waits first, for clocks that count whole seconds; at most `PAUSE_MS_MAX`.
    #[serde(default)]
    pub pause_ms: u64,
}

/// Reads one file of cases and the people its filters are about.
pub fn read(name: &str, text: &str) -> Result<(Vec<Case>, Vec<Person>), String> {
    let file: File = toml::from_str(text).map_err(|why| format!("{name}: {why}"))?;
    let mut cases = Vec::new();
    for one in &file.case {
        let steps = one.steps.clone().ok_or_else(|| format!("{name}: {} has no steps", one.id))?;
        cases.push(Case { label: label(name, &file, one, None)?, play: Play::Script(steps) });
    }
    for one in &file.find {
        let (filter, finds) =
            (given(name, one, "filter", &one.filter)?, given(name, one, "finds", &one.finds)?);
        let found = if finds.is_empty() { "nobody".into() } else { finds.join(", ") };
        let usual = Usual {
            title: format!("{} finds {found}", readable(&filter)),
            says: "The answer holds the resources that match the filter, and no others.",
            todo: "Evaluate the filter as RFC 7644 3.4.2.2 has it, over every resource of the tenant.",
        };
        cases.push(Case { label: label(name, &file, one, Some(usual))?, play: Play::Find { filter, finds } });
    }
    for one in &file.refuse {
        let filter = given(name, one, "filter", &one.filter)?;
        let usual = Usual {
            title: format!("{} is refused", readable(&filter)),
            says: "A filter that does not fit the grammar, or compares what cannot be compared, is refused \
                   with 400 and scimType invalidFilter.",
            todo: "Parse the whole filter before anything is looked up, and refuse what is left over.",
        };
        cases.push(Case { label: label(name, &file, one, Some(usual))?, play: Play::Refuse { filter } });
    }
    for one in &file.sort {
        let (by, gives) = (given(name, one, "by", &one.by)?, given(name, one, "gives", &one.gives)?);
        let order = one.order.clone();
        let usual = Usual {
            title: format!("sortBy {by}, {}", order.as_deref().unwrap_or("no sortOrder")),
            says: "sortBy names the attribute whose value orders the answer; who has no value comes last \
                   ascending and first descending.",
            todo: "Order before the page is cut, and by a second key that never ties.",
        };
        let play = Play::Sort { by, order, gives };
        cases.push(Case { label: label(name, &file, one, Some(usual))?, play });
    }
    for one in &file.coded {
        let play =
            coded::play(&one.id).ok_or_else(|| format!("{name}: nothing is written for {}", one.id))?;
        cases.push(Case { label: label(name, &file, one, None)?, play });
    }
    for one in &file.probe {
        let (of, step) = (given(name, one, "of", &one.of)?, given(name, one, "step", &one.step)?);
        let usual = Usual {
            title: String::new(),
            says: "What another tenant has is to be as if it did not exist: the same status, headers and body as \
                   for an id that nobody has, and nothing changed.",
            todo: "Look ids up with the tenant in the key; the other tenant's are then simply not found.",
        };
        let step = Box::new(step);
        cases.push(Case { label: label(name, &file, one, Some(usual))?, play: Play::Probe { of, step } });
    }
    Ok((cases, file.person))
}

/// A script's text without its `${…}`.
fn readable(text: &str) -> String {
    text.replace("${troupe}", "…").replace("${", "").replace('}', "")
}

fn given<T: Clone>(name: &str, one: &Entry, what: &str, field: &Option<T>) -> Result<T, String> {
    field.clone().ok_or_else(|| format!("{name}: {} has no {what}", one.id))
}

/// The words that a kind of case has where its entry says none.
struct Usual {
    title: String,
    says: &'static str,
    todo: &'static str,
}

fn label(name: &str, file: &File, one: &Entry, usual: Option<Usual>) -> Result<Label, String> {
    let missing = |what: &str| format!("{name}: {} has no {what}", one.id);
    let (title, says, todo) = match usual {
        Some(usual) => (Some(usual.title), Some(usual.says.to_owned()), Some(usual.todo.to_owned())),
        None => (None, None, None),
    };
    let level = one.level.as_deref().unwrap_or("MUST");
    Ok(Label {
        id: one.id.clone(),
        title: one.title.clone().or(title).ok_or_else(|| missing("title"))?,
        part: file.part.clone(),
        client: file.client.clone(),
        rule: one.rule.clone().or_else(|| file.rule.clone()).ok_or_else(|| missing("rule"))?,
        level: level.parse().map_err(|why| format!("{name}: {}: {why}", one.id))?,
        says: one.says.clone().or_else(|| file.says.clone()).or(says).ok_or_else(|| missing("says"))?,
        todo: one.todo.clone().or_else(|| file.todo.clone()).or(todo).ok_or_else(|| missing("do"))?,
        needs: file.needs.iter().chain(&one.needs).cloned().collect(),
    })
}
