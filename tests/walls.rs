//! The floors, read from the files: who may speak SQL, who may speak HTTP, who makes a scope.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file below `src/`, by its path from there, with its text less comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            (path.strip_prefix(&root).unwrap().display().to_string(), code.join("\n"))
        })
        .collect()
}

/// `word` stands only in files whose path begins with one of `rooms`.
fn only_in(word: &str, rooms: &[&str]) {
    for (path, code) in sources() {
        if code.contains(word) {
            assert!(rooms.iter().any(|room| path.starts_with(room)), "{word} in {path}");
        }
    }
}

#[test]
fn each_tool_has_its_floor() {
    only_in("sqlx::", &["store/"]);
    only_in("redis::", &["store/"]);
    only_in("actix_web", &["http/", "running.rs", "wiring.rs"]);
    only_in("reqwest::", &["outbound"]);
    only_in("OrgScope::opened", &["store/gate.rs", "store/scope.rs"]);
    only_in("FirstUse(())", &["store/tx.rs"]);
    only_in("Room { ", &["store/quotas.rs"]);
    // What is on a stage is a rehearsal's.
    only_in("Trial::On(", &["store/scope.rs"]);
    only_in("Within::Stage", &["store/stage.rs"]);
    only_in(".rehearsal(", &["broker/provision_bulk.rs"]);
    // Whoever asks for room by itself has to say what becomes of a refusal.
    only_in(".room()", &["demo.rs"]);
    only_in(".room::<", &["broker/quota.rs"]);
    only_in(
        "PlatformActor::CommandLine",
        &["store/platform_record.rs", "platform_keys.rs", "recover.rs", "signing_keys.rs"],
    );
    only_in(
        "PlatformActor::Schedule",
        &["store/platform_record.rs", "broker/streams.rs", "jobs/signing_keys.rs", "wiring.rs"],
    );
    only_in("change_signing_keys", &["store/signing_keys.rs", "broker/signing_keys.rs"]);
    only_in("Told::assertion", &["http/admin.rs", "http/audit.rs", "http/feed.rs", "http/openapi.rs"]);
    let housekeepers = [
        "store/tx.rs",
        "store/idempotency.rs",
        "jobs/acks.rs",
        "jobs/deliver.rs",
        "jobs/logouts.rs",
        "jobs/refusals.rs",
        "jobs/relay.rs",
        "jobs/streams.rs",
        "jobs/requests.rs",
        "jobs/sweep.rs",
        "jobs/uses.rs",
        "broker/blast_guard.rs",
        "broker/pass.rs",
        "broker/revoke.rs",
        "broker/streams.rs",
    ];
    only_in("commit_housekeeping", &housekeepers);
}

#[test]
fn judges_know_no_runtime_and_no_other_judge() {
    for judge in ["saml", "oidc", "scim", "token", "audit"] {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(judge).join("Cargo.toml");
        let text = fs::read_to_string(manifest).unwrap();
        let own = text.split("[dev-dependencies]").next().unwrap();
        for forbidden in ["tokio", "actix", "sqlx", "redis", "reqwest", "store", "broker"] {
            assert!(!own.lines().any(|l| l.starts_with(forbidden)), "{judge} depends on {forbidden}");
        }
        for other in ["saml", "oidc", "scim", "token", "audit"].iter().filter(|o| **o != judge) {
            assert!(!own.lines().any(|l| l.starts_with(&format!("{other}."))), "{judge} knows {other}");
        }
    }
}

/// The apps' verifier is for other people's programs: nothing of the house is in it, nor the house in it.
#[test]
fn the_verifier_depends_on_no_crate_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("verifier/Cargo.toml")).unwrap();
    let house = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let inner: Vec<&str> = house
        .lines()
        .filter(|line| line.contains("{ path = ") && !line.contains("path = \"verifier\""))
        .filter_map(|line| line.split(" = ").next())
        .collect();
    assert!(inner.len() >= 9, "{inner:?}");
    for name in inner {
        let words =
            |line: &&str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|w| w == name);
        let named: Vec<&str> = manifest.lines().filter(|line| !line.starts_with('#')).filter(words).collect();
        assert_eq!(named, Vec::<&str>::new(), "{name} in the verifier's manifest");
    }
    let paths: Vec<&str> =
        manifest.lines().filter(|line| line.contains("path = ") && line.contains('{')).collect();
    assert_eq!(paths.len(), 1, "itself alone, for its tests: {paths:?}");
}

#[test]
fn the_database_functions_of_the_gate_are_called_in_the_gate_alone() {
    for (path, code) in sources() {
        if ["gate_org(", "gate_slug(", "gate_host(", "gate_domain(", "gate_connection(", "gate_credential("]
            .iter()
            .any(|function| code.contains(function))
        {
            assert_eq!(path, "store/gate.rs");
        }
    }
}

/// What a plan counts is made at one place each, by a ledger that takes the room for it; and by nobody else.
#[test]
fn what_a_plan_counts_is_made_with_room_alone() {
    let tables = [
        ("users", "Seats"),
        ("connections", "Connections"),
        ("directories", "Directories"),
        ("domains", "Domains"),
        ("org_hosts", "Hosts"),
        ("teams", "Teams"),
        ("webhooks", "Webhooks"),
        ("credentials", "Keys"),
    ];
    assert_eq!(tables.len(), model::quota::Quota::ALL.len(), "a quota without its table");
    for (table, kind) in tables {
        let insert = format!("INSERT INTO {table} (");
        let mut makers = Vec::new();
        for (path, code) in sources() {
            for (at, _) in code.match_indices(&insert) {
                let from = code[..at].rfind(" fn ").unwrap();
                let signature = code[from..at].split(" {\n").next().unwrap();
                // What a directory fetches by its secret is a key of no org's.
                if path != "store/scim_secrets.rs" {
                    makers.push((path.clone(), signature.contains(&format!("Room<counted::{kind}>"))));
                }
            }
        }
        assert!(makers.len() == 1 && makers[0].1, "{table}: {makers:?}");
    }
}

/// Nothing but an act of the catalogue can be recorded; and each of them is, somewhere.
#[test]
fn every_act_of_the_catalogue_is_recorded() {
    let stories: Vec<String> =
        sources().into_iter().filter(|(path, _)| !path.starts_with("model/")).map(|(_, code)| code).collect();
    for act in model::act::Act::ALL {
        let name = format!("Act::{act:?}");
        let recorded = stories.iter().any(|code| {
            code.match_indices(&name)
                .any(|(at, _)| !code[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
        });
        assert!(recorded, "{} is recorded by no story", act.as_str());
    }
}

#[test]
fn rooms_hold_at_most_400_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    files(&root.join("verifier"), &mut found);
    for path in found {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}
