//! What an operator and an org's administrator see of the running house: counted refusals, the log's
//! lines.

use crate::{
    house::{house, now, walk},
    operations::{DAY_SECS, inside, rows, swept},
    otlp::Served,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};
use vestibule::{
    jobs::refusals,
    settings::{Log, LogFormat},
};

/// A stranger's refusals cost no commit each: they are counted by minute, connection and code, and the
/// org's administrator reads the counts with the first one's facts, and nothing of what was sent.
#[tokio::test]
async fn strangers_are_counted_and_not_written_one_by_one() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let mut door = walk::to_the_acs(house, &tenant).await;
    door.saml_response = STANDARD.encode("<nothing>CANARY</nothing>");
    for _ in 0..3 {
        assert_eq!(door.post().await.status, 403);
    }
    for _ in 0..2 {
        let form = [("SAMLResponse", door.saml_response.as_str())];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = house.http.post(&door.acs).header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(sent.body(body).send().await.unwrap().status(), 400);
    }
    let mut sql = inside(house, tenant.org).await;
    let refused = "SELECT count(*) FROM audit_events WHERE action = 'login.refused'";
    assert_eq!(sqlx::query_scalar::<_, i64>(refused).fetch_one(&mut sql).await.unwrap(), 0);
    house
        .on(async {
            let later = broker::Gateway { clock: || now().plus_secs(60), ..house.gw.clone() };
            refusals::round(later).await.unwrap();
        })
        .await;
    assert!(rows(&mut sql, "refusals").await <= 4, "two codes, in two minutes at most");
    let path = format!("/orgs/{}/connections/{}/refusals", tenant.slug, tenant.connection);
    let (status, said) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(status, 200, "{said}");
    let counted = |code: &str| -> i64 {
        let data = said["data"].as_array().unwrap().iter();
        data.filter(|row| row["code"] == code).map(|row| row["count"].as_i64().unwrap()).sum()
    };
    assert_eq!((counted("saml.not_a_response"), counted("login.attempt_unknown")), (3, 2), "{said}");
    let sample =
        said["data"].as_array().unwrap().iter().find(|r| r["code"] == "saml.not_a_response").unwrap();
    assert_eq!(sample["sample"]["facts"]["received"], "nothing");
    assert!(!said.to_string().contains("CANARY"), "{said}");
    let foreign = format!("/orgs/{}/connections/{}/refusals", other.slug, tenant.connection);
    assert_eq!(house.api("GET", &other.org_key, &foreign, None).await.0, 404);
    let sealed: bool =
        sqlx::query_scalar("SELECT bool_and(position('nothing'::bytea IN sample) = 0) FROM refusals")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    assert!(sealed, "the sample lies open");
    swept(house, &tenant, now().plus_secs(29 * DAY_SECS)).await;
    assert!(rows(&mut sql, "refusals").await > 0);
    swept(house, &tenant, now().plus_secs(31 * DAY_SECS)).await;
    assert_eq!(rows(&mut sql, "refusals").await, 0);
}

/// The log of the whole run, as JSON lines.
#[derive(Clone, Default)]
pub struct Lines(pub Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub static LINES: LazyLock<Lines> = LazyLock::new(|| {
    use tracing_subscriber::layer::SubscriberExt;
    let log = Log { format: LogFormat::Json, level: "info".into() };
    let layer = vestibule::telemetry::layer(&log, false, || LINES.clone()).unwrap();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    Lines::default()
});

/// A line of a request's log says which request, and which org of which tier and region; the caller's own
/// request id is kept where it is one, and comes back.
#[tokio::test]
async fn every_line_of_a_request_says_whose_it_is() {
    let lines = LINES.clone();
    let house = house();
    let tenant = house.tenant().await;
    let url = house.gw.links.saml_acs(tenant.connection);
    let ask = async |id: &str| {
        let sent = house.http.post(&url).header("content-type", "application/x-www-form-urlencoded");
        let sent = sent.header("x-request-id", id).body("SAMLResponse=eA").send().await.unwrap();
        sent.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let own = format!("span-{}", tenant.slug);
    assert_eq!(ask(&own).await, own);
    let made = ask("two words are none").await;
    assert!(made.starts_with("evt_"), "{made}");
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for id in [own, made] {
        let of_it: Vec<Value> = written
            .lines()
            .filter(|line| line.contains(&id))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let refused = of_it.iter().find(|line| line["message"] == "sign-in refused").expect("a line");
        let span = &refused["span"];
        assert_eq!(span["request_id"], id.as_str());
        let whose = [&span["org"], &span["tier"], &span["region"]].map(|v| v.as_str().unwrap().to_owned());
        assert_eq!(whose, [tenant.org.to_string(), "standard".into(), "eu".into()]);
    }
}

/// Every metric that the runbook names is on the operator's page, and the page names no other; it stands on
/// the operator's own listener alone.
#[tokio::test]
async fn the_operators_page_holds_what_the_runbook_says() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ops = format!("127.0.0.1:{port}");
    let served = Served::start(&[("VESTIBULE_OPS_LISTEN", &ops)]).await;
    let http = &house().http;
    let mut page = String::new();
    for _ in 0..100 {
        page = http.get(format!("http://{ops}/metrics")).send().await.unwrap().text().await.unwrap();
        let met = ["timestamp_seconds{job=\"sweep\"}", "redis_seconds_count{command=\"ping\"}"];
        if met.iter().all(|line| page.contains(line)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(http.get(house().url("/metrics")).send().await.unwrap().status(), 404);
    served.stopped();
    let runbook = include_str!("../docs/RUNBOOK.md");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let told: std::collections::BTreeSet<&str> = runbook
        .match_indices("`vestibule_")
        .map(|(at, _)| runbook[at + 1..].split(|c| !is_name(c)).next().unwrap())
        .collect();
    let shown: std::collections::BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(told, shown);
    for line in [
        "vestibule_requests_total{method=\"GET\",route=\"/healthz\",status=\"2xx\"} ",
        "vestibule_up{store=\"postgres\"} 1",
        "vestibule_up{store=\"redis\"} 1",
        "vestibule_pool_connections{state=\"max\"} 32",
        "vestibule_waiting_items{kind=\"revocation\"} 0",
        "vestibule_job_success_timestamp_seconds{job=\"sweep\"} ",
        "vestibule_redis_seconds_count{command=\"ping\"} ",
    ] {
        assert!(page.contains(line), "no {line} in {page}");
    }
}

/// Who signs in and who is refused is counted by protocol and code; what is minted, by grant.
#[tokio::test]
async fn sign_ins_and_tokens_are_counted() {
    use broker::counted::{LOGINS, TOKENS};
    let house = house();
    let of = |series: Vec<u64>| series.iter().sum::<u64>();
    let accepted =
        || of(LOGINS.read().iter().filter(|(l, _)| l[..2] == ["saml", "accepted"]).map(|r| r.1).collect());
    let minted = |grant| of(TOKENS.read().iter().filter(|(l, _)| l[0] == grant).map(|r| r.1).collect());
    let before = (accepted(), minted("authorization_code"), minted("refresh_token"));
    let tenant = house.tenant().await;
    let tokens = walk::tokens(house, &tenant).await;
    let (status, said) = walk::refresh(house, &tenant, walk::text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "{said}");
    assert!(
        accepted() > before.0
            && minted("authorization_code") > before.1
            && minted("refresh_token") > before.2
    );
    let committed = store::EVENTS.read();
    assert!(committed.iter().any(|(labels, number)| *labels == ["login.accepted", "done"] && *number > 0));
}
