//! Whoever mints, ends and removes takes locks in one order: the person, then what is theirs, then the
//! org's head, then what cascades. Everything against everything, on one person at a time: nobody is
//! the victim of a deadlock.

use crate::house::{House, Tenant, VERIFIER, call, house, now};
use model::{
    TokenDigest,
    ids::{SessionId, UserId},
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{NewCode, NewSession, OrgRef, SignIn};
use token::{
    code,
    credential::{OrgBoundKind, org_bearer},
};
use tokio::task::JoinSet;
use vestibule::seams::SystemChance;

const FOR: Duration = Duration::from_secs(6);

/// A session with its cookie, and a code that leads to it.
struct Opened {
    id: SessionId,
    cookie: String,
    code: String,
}

async fn open(house: &'static House, tenant: Arc<Tenant>, user: UserId) -> Opened {
    let work = async move {
        let scope = house.gw.db.visitor(&OrgRef::Id(tenant.org), &call()).await.unwrap();
        let mut tx = house.gw.db.write(&scope, "test.open").await.unwrap();
        let cookie = org_bearer(OrgBoundKind::Session, tenant.org, &SystemChance).reveal().clone();
        let text = code::issue(tenant.org, &SystemChance);
        let (_, digest) = code::parse(text.reveal()).unwrap();
        let (id, rs) = (SessionId::new(now(), &SystemChance), tx.as_of(&[]).await.unwrap().head);
        let expires_at = now().plus_secs(600);
        let session = NewSession {
            id,
            user,
            connection: tenant.connection,
            digest: &TokenDigest::of(&cookie),
            rs,
            acr: None,
            amr: &[],
            auth_time: now(),
            expires_at,
            upstream: None,
        };
        let code = NewCode {
            digest: &digest,
            session: id,
            user,
            app: tenant.app.id,
            redirect_uri: &tenant.app.redirect_uri,
            code_challenge: &crate::house::challenge(),
            nonce: None,
            scope: "openid offline_access",
            resource: None,
            said: SignIn { acr: None, amr: Vec::new(), auth_time: now() },
            rs,
            expires_at,
        };
        tx.create_session(&session, &code).await.unwrap();
        tx.commit(Record::of(AuditEvent::done(Act::LoginContinued).on("session", id))).await.unwrap();
        Opened { id, cookie, code: text.reveal().clone() }
    };
    house.on(work).await
}

async fn token(house: &House, tenant: &Tenant, form: &[(&str, &str)]) -> (u16, Value) {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = house.http.post(house.url("/oauth2/token"));
    let request = request.basic_auth(tenant.app.id.to_string(), Some(&tenant.app.secret));
    let answer =
        request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Redeems twice, then refreshes twice with the same token: a code and a family that are replayed.
async fn mints(house: &'static House, tenant: Arc<Tenant>, code: String) -> Vec<u16> {
    let redeem = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    let (first, second) = tokio::join!(token(house, &tenant, &redeem), token(house, &tenant, &redeem));
    let mut seen = vec![first.0, second.0];
    for (_, given) in [first, second] {
        if let Some(refresh) = given["refresh_token"].as_str() {
            let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
            let (one, other) = tokio::join!(token(house, &tenant, &refresh), token(house, &tenant, &refresh));
            seen.extend([one.0, other.0]);
        }
    }
    seen
}

async fn signs_out(house: &'static House, tenant: Arc<Tenant>, cookie: String) -> Vec<u16> {
    let cookie = format!("vst_session_{}={cookie}", tenant.org);
    let request = house.http.post(house.url("/logout")).header("cookie", cookie);
    vec![request.send().await.unwrap().status().as_u16()]
}

/// One person's whole life, with everything that may end it at once.
async fn life(house: &'static House, tenant: Arc<Tenant>, n: usize, group: &str) -> Vec<(&'static str, u16)> {
    let user = json!({"userName": format!("person-{n}")});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await;
    assert_eq!(status, 201, "{made}");
    let id: UserId = made["id"].as_str().unwrap().parse().unwrap();
    let (first, second) = tokio::join!(open(house, tenant.clone(), id), open(house, tenant.clone(), id));
    let mut all = JoinSet::new();
    let mut act = |name: &'static str, story: std::pin::Pin<Box<dyn Future<Output = Vec<u16>> + Send>>| {
        all.spawn(async move { story.await.into_iter().map(|status| (name, status)).collect::<Vec<_>>() });
    };
    act("mint", Box::pin(mints(house, tenant.clone(), first.code)));
    act("mint", Box::pin(mints(house, tenant.clone(), second.code)));
    act("sign-out", Box::pin(signs_out(house, tenant.clone(), first.cookie)));
    let org = format!("/orgs/{}", tenant.slug);
    for (name, method, path) in [
        ("session", "DELETE", format!("{org}/sessions/{}", second.id)),
        ("person", "POST", format!("{org}/users/{id}/revoke")),
    ] {
        act(name, Box::pin(async move { vec![house.api(method, &house.platform_key, &path, None).await.0] }));
    }
    let comes_back = tenant.clone();
    act(
        "come back",
        Box::pin(async move {
            let mut seen = Vec::new();
            for active in [false, true] {
                let body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [{"op": "replace", "value": {"active": active}}],
                });
                let path = format!("/scim/v2/Users/{id}");
                seen.push(house.scim("PATCH", &comes_back.scim_token, &path, Some(body)).await.0);
            }
            seen
        }),
    );
    let join = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "members", "value": [{"value": id}]}],
    });
    let wait = Duration::from_micros(u64::try_from(n % 20).unwrap() * 700);
    for (name, method, path, body) in [
        ("group", "PATCH", format!("/scim/v2/Groups/{group}"), Some(join)),
        ("remove", "DELETE", format!("/scim/v2/Users/{id}"), None),
    ] {
        let tenant = tenant.clone();
        act(
            name,
            Box::pin(async move {
                tokio::time::sleep(wait).await;
                vec![house.scim(method, &tenant.scim_token, &path, body).await.0]
            }),
        );
    }
    all.join_all().await.into_iter().flatten().collect()
}

async fn deadlocks(house: &House) -> i64 {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let asked =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
    asked.fetch_one(&mut sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minting_ending_and_removing_one_person_at_once_is_never_a_deadlock() {
    let house = house();
    let before = deadlocks(house).await;
    let mut workers = JoinSet::new();
    for (seats, at_least) in [(json!(null), 10), (json!(20), 1_000_000)] {
        let tenant = Arc::new(house.tenant().await);
        // One org holds people back; the other counts its seats, one request after another.
        let (key, of) = (&house.platform_key, format!("/orgs/{}", tenant.slug));
        let plan = format!("plan-of-{}", tenant.slug);
        for (path, method, body) in [
            (format!("/plans/{plan}"), "PUT", json!({"quotas": {"seats": seats}})),
            (format!("{of}/plan"), "PUT", json!({"plan": plan})),
            (
                format!("{of}/directories/{}", tenant.directory),
                "PATCH",
                json!({"blast_guard": {"percent": 20, "at_least": at_least}}),
            ),
        ] {
            let (status, said) = house.api(method, key, &path, Some(body)).await;
            assert_eq!(status, 200, "{said}");
        }
        let group = json!({"displayName": "Staff"});
        let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await;
        let group = group["id"].as_str().unwrap().to_owned();
        let mapped = Some(json!([{"group_id": group, "roles": ["member"]}]));
        let path = format!("/orgs/{}/group-mappings", tenant.slug);
        assert_eq!(house.api("PUT", &house.platform_key, &path, mapped).await.0, 200);
        workers.spawn(async move {
            let (start, mut seen) = (Instant::now(), BTreeMap::<(&str, u16), u32>::new());
            for n in 0.. {
                if start.elapsed() > FOR {
                    break;
                }
                for answer in life(house, tenant.clone(), n, &group).await {
                    *seen.entry(answer).or_default() += 1;
                }
            }
            seen
        });
    }
    let mut seen = BTreeMap::<(&str, u16), u32>::new();
    for (answer, times) in workers.join_all().await.into_iter().flatten() {
        *seen.entry(answer).or_default() += times;
    }
    assert!(seen.keys().all(|(_, status)| *status < 500 || *status == 503), "{seen:?}");
    if seen.keys().any(|(_, status)| *status == 503) {
        // A machine that is busy with something else makes people wait as well: Postgres knows which it
        // was, and tells within ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(deadlocks(house).await, before, "{seen:?}");
    }
    for done in [("mint", 200), ("sign-out", 200), ("session", 204), ("remove", 204), ("group", 204)] {
        assert!(seen.contains_key(&done), "{done:?} never happened: {seen:?}");
    }
}
