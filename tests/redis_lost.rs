//! Redis is fast, not true: flushed, stopped, hung, restarted empty or from an old dump, it revives
//! nothing that was revoked and ends nothing that lives, and what is revoked without it is dead at once.
//! A gateway of its own, over a Redis of its own.

use crate::house::{
    House, Site, Tenant, authorize_url,
    redis::Redis,
    walk::{is_active, param, redeem, refresh, text, to_the_acs},
};
use broker::inspect::BrowserSession;
use idp_fixtures::Browser;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::live::Seen;

/// From the return of Redis to a gateway that uses it again.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// No answer waits for Redis longer than the gateway's own patience, a few times over.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A person with everything that can be alive of a sign-in.
struct Someone {
    tenant: Tenant,
    user: String,
    access: String,
    refresh: String,
    browser: Browser,
}

async fn someone(house: &'static House) -> Someone {
    let tenant = house.tenant().await;
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": format!("ada@{}", tenant.domain), "active": true,
    });
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await;
    assert_eq!(status, 201, "{made}");
    let mut door = to_the_acs(house, &tenant).await;
    let (status, given) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{given}");
    Someone {
        user: text(&made, "id").to_owned(),
        access: text(&given, "access_token").to_owned(),
        refresh: text(&given, "refresh_token").to_owned(),
        browser: door.browser,
        tenant,
    }
}

impl Someone {
    async fn userinfo(&self, house: &House) -> u16 {
        let request = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(&self.access);
        request.send().await.unwrap().status().as_u16()
    }
    /// What the browser's cookie gives: a code, or an error.
    async fn silent(&mut self, house: &House) -> String {
        let url = authorize_url(house, &self.tenant, &[("prompt", "none")]);
        let page = self.browser.get_once(&url).await.unwrap();
        let sent = crate::house::walk::sent_back(&page);
        sent.into_iter().find(|(name, _)| name == "code" || name == "error").expect("a code or an error").0
    }
    async fn lives(&mut self, house: &'static House, when: &str) {
        let start = Instant::now();
        assert!(is_active(house, &self.tenant, &self.access).await, "{when}: introspection");
        assert_eq!(self.userinfo(house).await, 200, "{when}: userinfo");
        assert_eq!(self.silent(house).await, "code", "{when}: the browser's session");
        let (status, given) = refresh(house, &self.tenant, &self.refresh).await;
        assert_eq!(status, 200, "{when}: refresh {given}");
        self.refresh = text(&given, "refresh_token").to_owned();
        assert!(start.elapsed() < 4 * ANSWER_MAX, "{when}: {:?}", start.elapsed());
    }
    async fn is_dead(&mut self, house: &'static House, when: &str) {
        let start = Instant::now();
        assert!(!is_active(house, &self.tenant, &self.access).await, "{when}: introspection");
        assert_eq!(self.userinfo(house).await, 401, "{when}: userinfo");
        assert_eq!(self.silent(house).await, "error", "{when}: the browser's session");
        assert_eq!(refresh(house, &self.tenant, &self.refresh).await.0, 400, "{when}: refresh");
        assert!(start.elapsed() < 4 * ANSWER_MAX, "{when}: {:?}", start.elapsed());
    }
    /// What Redis alone says of the cookie.
    async fn in_redis(&self, house: &'static House) -> Seen {
        let cookies = self.browser.cookies(&house.base);
        let session = cookies.iter().find_map(|c| BrowserSession::read(&c.value)).unwrap();
        let (scope, live) = (house.visitor(&self.tenant).await, house.gw.live.clone().unwrap());
        house.on(async move { live.session(&scope, &session.digest).await }).await
    }
    /// Does Redis come to see it so, within the time of a recovery?
    async fn is_seen(&self, house: &'static House, wanted: fn(&Seen) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < RECOVERY_MAX {
            if wanted(&self.in_redis(house).await) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
    async fn leave(&self, house: &House) {
        let gone = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {"active": false}}],
        });
        let path = format!("/scim/v2/Users/{}", self.user);
        let (status, said) = house.scim("PATCH", &self.tenant.scim_token, &path, Some(gone)).await;
        assert_eq!(status, 200, "{said}");
    }
    async fn operate(&self, house: &House, method: &str, path: &str) -> Value {
        let path = format!("/orgs/{}{path}", self.tenant.org);
        let (status, said) = house.api(method, &house.platform_key, &path, None).await;
        assert!(status < 300, "{status} {said}");
        said
    }
}

async fn readiness(house: &House) -> (u16, String) {
    let sent = house.http.get(house.url("/readyz")).send().await.unwrap();
    (sent.status().as_u16(), sent.text().await.unwrap())
}

/// Without Redis: served, and said.
async fn degraded(house: &House, when: &str) {
    let (status, said) = readiness(house).await;
    assert_eq!(status, 200, "{when}: {said}");
    assert!(said.starts_with("degraded\n") && said.contains("redis: unreachable"), "{when}: {said}");
    assert!(said.contains("postgres: ok"), "{when}: {said}");
}

/// Redis is used again: a new sign-in's session is in it.
async fn recovered(house: &'static House, when: &str) {
    let start = Instant::now();
    while !readiness(house).await.1.starts_with("ready\n") {
        assert!(start.elapsed() < RECOVERY_MAX, "{when}: not ready after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let new = kept(house).await;
    assert!(matches!(new.in_redis(house).await, Seen::Alive(_)), "{when}: a new session is kept");
}

/// Someone whose session Redis has. A put that a busy machine was too slow for is no fault of anybody:
/// Postgres has it.
async fn kept(house: &'static House) -> Someone {
    for _ in 0..5 {
        let one = someone(house).await;
        if one.is_seen(house, |seen| matches!(seen, Seen::Alive(_))).await {
            return one;
        }
    }
    panic!("redis keeps no session")
}

/// Those who live and those who were ended, each in another way.
struct Company {
    alive: Someone,
    ended: Vec<Someone>,
}

impl Company {
    async fn is_as_it_was(&mut self, house: &'static House, when: &str) {
        self.alive.lives(house, when).await;
        for one in &mut self.ended {
            one.is_dead(house, when).await;
        }
    }
}

#[tokio::test]
async fn whatever_happens_to_redis_nothing_revoked_revives_and_what_lives_goes_on() {
    let mut redis = Redis::start();
    let site = Site { redis_url: Some(redis.url()), ..Site::named("redis-lost") };
    let house = site.open();
    let mut ended = Vec::new();
    for _ in 0..4 {
        ended.push(kept(house).await);
    }
    let mut company = Company { alive: kept(house).await, ended };
    assert_eq!(redis.say("SAVE").unwrap(), "+OK");
    let before = std::fs::read(redis.dump()).unwrap();
    std::fs::remove_file(redis.dump()).unwrap();

    let [gone, revoked, session, whole] = company.ended.as_slice() else { panic!() };
    gone.leave(house).await;
    revoked.operate(house, "POST", &format!("/users/{}/revoke", revoked.user)).await;
    let claims = crate::house::walk::claims(&session.access);
    session.operate(house, "DELETE", &format!("/sessions/{}", text(&claims, "sid"))).await;
    whole.operate(house, "POST", "/revoke").await;
    for one in &company.ended {
        assert!(one.is_seen(house, |seen| *seen == Seen::Dead).await, "Redis was told");
    }
    company.is_as_it_was(house, "Redis in order").await;

    assert_eq!(redis.say("FLUSHALL").unwrap(), "+OK");
    company.is_as_it_was(house, "flushed").await;

    redis.signal(Signal::STOP);
    company.is_as_it_was(house, "hung").await;
    degraded(house, "hung").await;
    redis.signal(Signal::CONT);
    recovered(house, "no longer hung").await;

    redis.kill();
    company.is_as_it_was(house, "stopped").await;
    degraded(house, "stopped").await;
    // Signed in and gone without Redis: alive, then dead at once.
    let mut meanwhile = someone(house).await;
    meanwhile.lives(house, "signed in without Redis").await;
    meanwhile.leave(house).await;
    meanwhile.is_dead(house, "gone without Redis").await;
    company.ended.push(meanwhile);

    redis.restart();
    recovered(house, "restarted empty").await;
    company.is_as_it_was(house, "restarted empty").await;

    // The dump knows every session, and none of their ends.
    redis.kill();
    std::fs::write(redis.dump(), &before).unwrap();
    redis.restart();
    company.is_as_it_was(house, "restored from an old dump").await;
    recovered(house, "restored from an old dump").await;
    company.is_as_it_was(house, "restored and recovered").await;
}

#[tokio::test]
async fn what_was_revoked_without_redis_is_brought_to_it_when_it_is_back() {
    let mut redis = Redis::start();
    let site = Site { redis_url: Some(redis.url()), ..Site::named("redis-back") };
    let house = site.open();
    let gone = kept(house).await;
    assert_eq!(redis.say("SAVE").unwrap(), "+OK");
    redis.kill();
    gone.leave(house).await;
    // Back with the session and without its end: only what the jobs' list held can say so.
    redis.restart();
    let start = Instant::now();
    while gone.in_redis(house).await != Seen::Dead {
        assert!(start.elapsed() < RECOVERY_MAX, "not told after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And the receipt says since when.
    loop {
        let path = format!("/users/{}/deprovisionings", gone.user);
        let receipts = gone.operate(house, "GET", &path).await;
        if receipts["data"][0]["reached_at"].is_string() {
            break;
        }
        assert!(start.elapsed() < RECOVERY_MAX, "the receipt is open: {receipts}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
