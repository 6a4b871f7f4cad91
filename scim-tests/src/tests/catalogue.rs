//! The files of cases are whole, and each case has its words.

use crate::{
    case::Play,
    catalogue::{FILES, all},
    coded::ALL,
    expect,
    script::Step,
    server::Server,
    wire::Answer,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

const LINES_MAX: usize = 400;

fn below(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_dir() { names.extend(below(&name)) } else { names.push(name) }
    }
    names.sort();
    names
}

#[test]
fn every_file_of_cases_is_built_in() {
    let mut here: Vec<String> = ["cases", "dialects"].iter().flat_map(|folder| below(folder)).collect();
    here.sort();
    let mut listed: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(here, listed);
}

/// A black box: nothing of the server under test is known here.
#[test]
fn no_crate_of_the_workspace_is_used() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for house in
        ["model", "saml", "oidc", "scim", "token", "audit", "store", "broker", "idp-fixtures", "vestibule"]
    {
        let own = manifest
            .lines()
            .any(|line| line.starts_with(&format!("{house}.")) || line.starts_with(&format!("{house} =")));
        assert!(!own, "{house}");
    }
    assert!(!manifest.contains("path ="), "a dependency by path");
}

#[test]
fn no_file_is_over_400_lines() {
    for name in ["cases", "dialects", "src"].iter().flat_map(|folder| below(folder)) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name)).unwrap();
        assert!(text.lines().count() <= LINES_MAX, "{name}");
    }
}

#[test]
fn each_case_has_an_id_of_its_own_and_all_its_words() {
    let (cases, people) = all().unwrap();
    assert!(cases.len() >= 200, "{}", cases.len());
    assert!(people.len() > 3);
    let mut ids = BTreeSet::new();
    for case in &cases {
        let label = &case.label;
        assert!(ids.insert(label.id.clone()), "{} stands twice", label.id);
        for (what, text) in
            [("title", &label.title), ("says", &label.says), ("do", &label.todo), ("rule", &label.rule)]
        {
            assert!(text.len() > 3, "{} has no {what}", label.id);
        }
        if label.client.is_none() {
            assert!(label.rule.starts_with("RFC "), "{}: {}", label.id, label.rule);
        }
    }
}

#[test]
fn what_is_written_in_rust_has_its_words() {
    let ids: BTreeSet<String> = all().unwrap().0.into_iter().map(|case| case.label.id).collect();
    for (id, _, _) in ALL.iter().copied().flatten() {
        assert!(ids.contains(*id), "{id} stands in no file");
    }
}

#[test]
fn each_client_has_its_dialogues() {
    let mut clients: BTreeMap<String, usize> = BTreeMap::new();
    for case in all().unwrap().0 {
        if let Some(client) = case.label.client {
            *clients.entry(client).or_default() += 1;
        }
    }
    let names: Vec<&str> = clients.keys().map(String::as_str).collect();
    assert_eq!(names, ["Entra", "Google", "JumpCloud", "Okta", "OneLogin", "Ping", "Rippling"]);
    assert!(clients.values().all(|count| *count >= 3), "{clients:?}");
}

/// Every need is one that the server's documents can answer: a misspelt one would skip for ever.
#[test]
fn each_need_is_known() {
    let server = Server::default();
    for case in all().unwrap().0 {
        for need in &case.label.needs {
            let why = server.lacks(need).unwrap_or_default();
            assert!(!why.contains("unknown need"), "{}: {need}", case.label.id);
        }
    }
}

/// The names that a script's texts use, and those that it has made by then.
fn steps_are_sound(id: &str, steps: &[Step]) {
    let mut made: BTreeSet<String> = [
        "tag",
        "domain",
        "base",
        "User",
        "Group",
        "Enterprise",
        "PatchOp",
        "BulkRequest",
        "BulkResponse",
        "SearchRequest",
        "ListResponse",
        "Error",
    ]
    .map(str::to_owned)
    .into();
    for step in steps {
        let mut texts: Vec<&String> =
            [&step.send, &step.body, &step.patch, &step.bulk, &step.with].into_iter().flatten().collect();
        texts
            .extend(step.query.values().chain(step.headers.values()).chain(&step.expect).chain(&step.should));
        for name in texts.into_iter().flat_map(|text| names_in(text)).chain(step.members.iter().cloned()) {
            assert!(made.contains(&name), "{id}: ${{{name}}} is not known by then");
        }
        made.extend(step.user.iter().chain(&step.group).chain(step.keep.keys()).cloned());
        let bodies = [step.body.is_some(), step.patch.is_some(), step.bulk.is_some(), step.usual.is_some()];
        assert!(bodies.into_iter().filter(|one| *one).count() <= 1, "{id}: two bodies");
        assert!(step.send.is_some() || step.expect.is_empty(), "{id}: expects without sending");
        for line in step.expect.iter().chain(&step.should) {
            let line = plain(line);
            let nothing = Answer {
                status: 200,
                headers: Vec::new(),
                text: "{}".into(),
                json: None,
                took: Duration::ZERO,
            };
            assert!(
                expect::check(&line, &nothing).is_ok(),
                "{id}: {line}: {:?}",
                expect::check(&line, &nothing)
            );
        }
    }
}

fn names_in(text: &str) -> Vec<String> {
    let places = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    let places = places.filter(|place| !place.starts_with("repeat:"));
    places
        .map(|place| place.trim_start_matches("json:").split('.').next().unwrap_or_default().to_owned())
        .collect()
}

fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        out.push('x');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

#[test]
fn scripts_use_what_they_have_made_and_expect_what_can_be_checked() {
    for case in all().unwrap().0 {
        if let Play::Script(steps) = &case.play {
            assert!(steps.iter().any(|step| step.send.is_some()), "{} sends nothing", case.label.id);
            steps_are_sound(&case.label.id, steps);
        }
    }
}
