//! Platform keys at the command line, beside a server that runs: listed, revoked at once, and the last one
//! with `--force` alone.

use crate::house::{House, Site};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::process::Command;

/// Exit code, stdout and stderr of `vestibule keys …` at this site's data folder.
fn keys(site: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let data = Site::named(site).data;
    let run = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .arg("keys")
        .args(words)
        .env("VESTIBULE_DATA_DIR", data)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

async fn status(house: &House, key: &str) -> u16 {
    house.api("GET", key, "/platform-keys", None).await.0
}

fn listed(site: &str) -> Vec<Value> {
    let (code, told, said) = keys(site, &["list", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&told).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_key_ends_at_the_command_line_the_last_one_by_force_alone() {
    let site = "command-line";
    let house = Site::named(site).open();
    let (_, of_api) = house.api("GET", &house.platform_key, "/platform-keys", None).await;
    assert_eq!(json!(listed(site)), of_api["data"], "as the API shows them");
    let first = of_api["data"][0]["id"].as_str().unwrap();

    let (code, second, _) = keys(site, &["create", "--platform", "--name", "second"]);
    let second = second.trim_end();
    assert_eq!((code, status(house, second).await), (Some(0), 200));
    let (code, _, said) = keys(site, &["create", "--platform", "--name", "a\nb"]);
    assert!(code == Some(1) && said.contains("control characters"), "{said}");
    let (code, table, _) = keys(site, &["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{table}");
    assert!(lines[0].starts_with(first) && lines[0].contains("  good  ") && lines[0].ends_with("  tests"));
    assert!(lines[1].ends_with("  second") && !table.contains("vst_"));

    let (code, _, said) = keys(site, &["revoke", first]);
    assert!(code == Some(0) && said.contains("1 live on"), "{said}");
    assert_eq!(status(house, &house.platform_key).await, 401, "at once");
    let (code, _, said) = keys(site, &["revoke", first, "--force"]);
    assert!(code == Some(1) && said.contains("`vestibule keys list`"), "once: {said}");
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let noted: Vec<(String, String)> =
        sqlx::query_as("SELECT actor, action FROM vst.platform_events WHERE target = $1 ORDER BY evt_id")
            .bind(first)
            .fetch_all(&mut sql)
            .await
            .unwrap();
    let by = |action: &str| ("command_line".to_owned(), action.to_owned());
    assert_eq!(noted, [by("platform_key.created"), by("platform_key.revoked")]);

    let last = listed(site)[1]["id"].as_str().unwrap().to_owned();
    let (code, _, said) = keys(site, &["revoke", &last]);
    assert!(code == Some(1) && said.contains("keys create") && said.contains("--force"), "{said}");
    assert_eq!(status(house, second).await, 200, "kept");
    let (code, _, said) = keys(site, &["revoke", &last, "--force"]);
    assert!(code == Some(0) && said.contains("No platform key lives now"), "{said}");
    assert_eq!(status(house, second).await, 401);
    assert!(listed(site).iter().all(|key| key["revoked_at"].is_string()));

    let (_, third, _) = keys(site, &["create", "--platform", "--name", "third"]);
    assert_eq!(status(house, third.trim_end()).await, 200, "the way back in");
    for wrong in [&["revoke"][..], &["revoke", "third"], &["list", "--force"], &["end"]] {
        assert_eq!(keys(site, wrong).0, Some(2), "{wrong:?}");
    }
}

/// Whoever starts again and again has one key, until somebody revokes it.
#[tokio::test]
async fn a_program_that_starts_anew_keeps_its_platform_key() {
    let house = crate::house::house();
    let name = format!("starts-{}", std::process::id());
    let kept = async || {
        let (db, name) = (house.gw.db.clone(), name.clone());
        house.on(async move { vestibule::platform_keys::kept(&db, &name).await.unwrap().key }).await
    };
    let first = kept().await;
    assert_eq!([kept().await, kept().await], [first, first]);
    let path = format!("/platform-keys/{first}");
    assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
    let next = kept().await;
    assert_ne!(next, first, "revoked is revoked");
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM vst.platform_keys WHERE name = $1")
        .bind(&name)
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!(made, 2);
    let path = format!("/platform-keys/{next}");
    assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
}
