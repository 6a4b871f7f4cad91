//! SCIM create and `active:false` over 32 orgs, and the same statements by pgbench, in one run.

use crate::{
    gateway::{CLIENTS, Gateway, measure},
    stage::{post, text},
};
use model::ids::{DirectoryId, OrgId};
use serde_json::json;
use std::{
    process::Command,
    sync::{Arc, Mutex},
};

const ORGS: usize = 32;

struct Org {
    org: OrgId,
    directory: DirectoryId,
    token: String,
}

pub async fn run(gateway: &Gateway, http: &reqwest::Client, key: &str, secs: u64) {
    let mut orgs = Vec::new();
    for n in 0..ORGS {
        let api = format!("{}/api/v1/orgs", gateway.base);
        let made = post(http, api.clone(), key, json!({"slug": format!("scim{n}"), "name": "SCIM"})).await;
        let org = text(&made, "id");
        let made = post(
            http,
            format!("{api}/{org}/directories"),
            key,
            json!({"name": "Okta", "blast_guard": "off"}),
        )
        .await;
        let directory = text(&made, "id");
        let tokens = format!("{api}/{org}/directories/{directory}/tokens");
        let token = text(&post(http, tokens, key, json!({})).await, "token");
        orgs.push(Org { org: org.parse().unwrap(), directory: directory.parse().unwrap(), token });
    }
    let (orgs, made) = (Arc::new(orgs), Arc::new(Mutex::new(Vec::new())));
    let users = format!("{}/scim/v2/Users", gateway.base);
    let (h, o, m, url) = (http.clone(), orgs.clone(), made.clone(), users.clone());
    let creates = measure("SCIM create", gateway, secs, move |n| {
        let (h, o, m, url) = (h.clone(), o.clone(), m.clone(), url.clone());
        async move {
            let at = n as usize % ORGS;
            let name = format!("user{n}@acme.example");
            let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
                "active": true, "emails": [{"value": name, "type": "work", "primary": true}]});
            let user = scim(&h, reqwest::Method::POST, &url, &o[at].token, &body, 201).await;
            m.lock().unwrap().push((at, text(&user, "id")));
        }
    })
    .await;
    let limit = pgbench(&gateway.data, &orgs, include_str!("create.sql"), &[&format!("--time={secs}")]);
    println!("  the same statements by pgbench {limit:>31.0} /s; ours is {:.2} of it", creates / limit);
    let (h, o, m) = (http.clone(), orgs.clone(), made);
    let patches = measure("SCIM active:false", gateway, secs, move |_| {
        let (h, o, m, url) = (h.clone(), o.clone(), m.clone(), users.clone());
        async move {
            let Some((at, id)) = m.lock().unwrap().pop() else { return tokio::task::yield_now().await };
            let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "value": {"active": false}}]});
            scim(&h, reqwest::Method::PATCH, &format!("{url}/{id}"), &o[at].token, &body, 200).await;
        }
    })
    .await;
    pgbench(&gateway.data, &orgs, include_str!("fill.sql"), &["--transactions=1", "--client=1"]);
    let limit = pgbench(&gateway.data, &orgs, include_str!("deactivate.sql"), &[&format!("--time={secs}")]);
    println!("  the same statements by pgbench {limit:>31.0} /s; ours is {:.2} of it", patches / limit);
}

async fn scim(
    http: &reqwest::Client,
    method: reqwest::Method,
    url: &str,
    token: &str,
    body: &serde_json::Value,
    wanted: u16,
) -> serde_json::Value {
    let sent = http.request(method, url).bearer_auth(token).header("content-type", "application/scim+json");
    let answer = sent.body(body.to_string()).send().await.unwrap();
    let (status, said) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(status, wanted, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// Transactions a second of pgbench, by the server's own role and as many clients, a script an org.
fn pgbench(data: &tempfile::TempDir, orgs: &[Org], script: &str, how: &[&str]) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let once = how.iter().any(|word| word.starts_with("--transactions"));
    let mut runs = Vec::new();
    for (n, org) in orgs.iter().enumerate() {
        let filled = script
            .replace("{org}", &org.org.uuid().to_string())
            .replace("{dir}", &org.directory.uuid().to_string())
            .replace("{digest}", &hex(model::TokenDigest::of(&org.token).bytes()));
        let path = folder.path().join(format!("{n}.sql"));
        std::fs::write(&path, filled).unwrap();
        runs.push(path);
    }
    // What fills runs once for each org, what measures takes the orgs by lot.
    let batches: Vec<&[std::path::PathBuf]> = if once { runs.chunks(1).collect() } else { vec![&runs] };
    let mut tps = 0.0;
    for batch in batches {
        let mut command = Command::new("pgbench");
        command.args(["--no-vacuum", "--protocol=prepared"]);
        if !once {
            command.args(["--jobs=2".to_owned(), format!("--client={CLIENTS}")]);
        }
        command.args(how);
        command.args(batch.iter().flat_map(|path| ["--file".as_ref(), path.as_os_str()]));
        let database = std::env::var("DATABASE_URL").unwrap_or_else(|_| {
            format!("host={}/run user=vestibule dbname=vestibule", data.path().display())
        });
        let done = command.env("PGOPTIONS", "-c role=vst_app -c search_path=vst").arg(database).output();
        let done = done.expect("pgbench is installed");
        let said = String::from_utf8_lossy(&done.stdout);
        let told = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        tps = told.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)));
    }
    tps
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
