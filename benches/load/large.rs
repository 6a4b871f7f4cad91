//! The same questions to a directory of a thousand people and to one of a million. The million is written
//! by SQL, as the server's own role and within its org: every policy, key and index is passed.

use crate::{
    args::Args,
    gateway::{CLIENTS, Gateway, Progress, Until, percentile},
    scim::Org,
    table::{head, row},
};
use hyper::Method;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Instant;

const SMALL: u64 = 1_000;
/// People of one INSERT.
const BATCH: u64 = 20_000;
/// Questions to each, in turn.
const TURNS: u64 = 1_000;

pub async fn run(gateway: &Gateway, http: &reqwest::Client, key: &str, args: &Args) {
    let small = Org::make(gateway, http, key, "small").await;
    let large = Org::make(gateway, http, key, "large").await;
    fill(gateway, &small, SMALL).await;
    let began = Instant::now();
    fill(gateway, &large, args.million).await;
    head(&format!("{SMALL} people and {} (by SQL, {:.0} s)", args.million, began.elapsed().as_secs_f64()));
    let (before, mut peak) = (gateway.rss_mb(), 0.0_f64);
    let mut progress = Progress::new("userName eq");
    let mut micros = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        for (n, (org, size)) in [(&small, SMALL), (&large, args.million)].into_iter().enumerate() {
            let (name, began) = (format!("user{}@large.example", turn * 7_919 % size + 1), Instant::now());
            assert_eq!(org.find(&name).await, 1, "{name}");
            micros[n].push(u64::try_from(began.elapsed().as_micros()).unwrap());
        }
        progress.tell(turn, Some(TURNS));
        peak = peak.max(gateway.rss_mb());
    }
    drop(progress);
    let [few, many] = micros.map(|micros| percentile(&micros, 50.0));
    let ours = format!("p50 {many:.2} ms, {few:.2} ms among {SMALL}: {:.2} of it", many / few);
    row("userName eq", &ours, "", "", "1.5 of it");
    let (org, million) = (large.clone(), args.million);
    let cost =
        gateway
            .cost("userName eq", CLIENTS, Until::Secs(args.secs), move |n| {
                let org = org.clone();
                async move {
                    assert_eq!(org.find(&format!("user{}@large.example", n * 7_919 % million + 1)).await, 1)
                }
            })
            .await;
    row(
        "userName eq, 16 clients",
        &cost.told(),
        "36,000 /cpu-s of Postgres",
        "saml-jackson 1,100",
        "10,000 /cpu-s",
    );
    for (what, path) in [
        ("the first page of 100", "/Users?startIndex=1&count=100".to_owned()),
        ("a page in the middle", format!("/Users?startIndex={}&count=100", args.million / 2)),
        ("one person, and the total", "/Users?count=1".to_owned()),
    ] {
        let began = Instant::now();
        let (status, said) = large.asks(Method::GET, &path, None).await;
        let size = said.len();
        let ours = format!("{:.0} ms ({status}, {size} bytes)", began.elapsed().as_secs_f64() * 1_000.0);
        row(what, &ours, "", "", "reported");
    }
    let ours = format!("{before:.0} MB before, {peak:.0} at most, {:.0} after", gateway.rss_mb());
    row("  memory of the gateway", &ours, "", "", "50 MB");
}

/// People 1 to `count`, each with a document and an address as a directory's POST leaves them.
async fn fill(gateway: &Gateway, org: &Org, count: u64) {
    let mut sql = PgConnection::connect(&gateway.database()).await.unwrap();
    sqlx::raw_sql("SET ROLE vst_app; SET search_path = vst").execute(&mut sql).await.unwrap();
    let mut progress = Progress::new("writing people by SQL");
    for from in (1..=count).step_by(BATCH as usize) {
        let to = (from + BATCH - 1).min(count);
        let (id, directory) = (org.org.uuid(), org.directory.uuid());
        let filled = include_str!("large.sql")
            .replace("{org}", &id.to_string())
            .replace("{dir}", &directory.to_string())
            .replace("{from}", &from.to_string())
            .replace("{to}", &to.to_string());
        sqlx::raw_sql(AssertSqlSafe(filled)).execute(&mut sql).await.unwrap();
        progress.tell(to, Some(count));
    }
    // What autovacuum does within its minute.
    sqlx::raw_sql("SET ROLE vst_owner; ANALYZE vst.users; ANALYZE vst.user_emails")
        .execute(&mut sql)
        .await
        .unwrap();
}
