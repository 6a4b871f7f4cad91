//! A private Postgres or Redis that dies under the process is started again, and the process serves on.
//! A gateway of its own: what is killed here nobody else needs.

use crate::house::{
    House, Site,
    walk::{refresh, text, tokens},
};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

const BACK_MAX: Duration = Duration::from_secs(40);

async fn ready(house: &House) -> String {
    let sent = house.http.get(house.url("/readyz")).send().await.unwrap();
    sent.text().await.unwrap().lines().next().unwrap_or_default().to_owned()
}

async fn becomes(house: &House, wanted: &str) {
    let start = Instant::now();
    loop {
        let said = ready(house).await;
        if said == wanted {
            return;
        }
        assert!(start.elapsed() < BACK_MAX, "{said}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn the_process_serves_on_when_its_private_stores_were_killed() {
    let site = Site::named("killed");
    let data = site.data.clone();
    let house = site.open();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    // The tests' Postgres writes its log late: what it promised is on its way to the disk by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    becomes(house, "ready").await;
    let postmaster = || std::fs::read_to_string(data.join("postgres/postmaster.pid")).unwrap_or_default();
    let before = postmaster();
    kill(before.lines().next().unwrap());
    becomes(house, "down").await;
    becomes(house, "ready").await;
    assert_ne!(postmaster(), before);
    // A connection of before may be met once more: that is a 503, and no answer.
    let start = Instant::now();
    let second = loop {
        let (status, said) = refresh(house, &tenant, text(&given, "refresh_token")).await;
        match status {
            200 => break said,
            503 => assert!(start.elapsed() < BACK_MAX, "{said}"),
            other => panic!("{other} {said}"),
        }
    };
    assert_ne!(second["refresh_token"], given["refresh_token"]);
    let urls = std::fs::read_to_string(data.join("embedded.urls")).unwrap();
    let redis = urls.lines().nth(1).unwrap().strip_prefix("unix://").unwrap().to_owned();
    let pid = || {
        let asked = std::process::Command::new("redis-cli").args(["-s", &redis, "INFO", "server"]).output();
        let text = String::from_utf8(asked.unwrap().stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("process_id:")).map(|pid| pid.trim().to_owned())
    };
    let before = pid().unwrap();
    kill(&before);
    let start = Instant::now();
    while pid().is_none_or(|pid| pid == before) {
        assert!(start.elapsed() < BACK_MAX, "Redis is not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    becomes(house, "ready").await;
    tokens(house, &tenant).await;
}
