//! The two places around the mint: a revoker that commits after the mint has read its snapshot, and one
//! that commits after the mint did, before its answer or Redis. Redeem, refresh and sign-in are stopped
//! there by a row lock of a second connection, so the interleaving is the real one. What comes out may
//! come out; it must not be alive anywhere.

use crate::house::{
    House, Tenant, authorize_url, house,
    walk::{AtTheDoor, code, is_active, param, redeem, refresh, sent_back, text, to_the_acs},
};
use broker::inspect::BrowserSession;
use idp_fixtures::Browser;
use model::ids::{FamilyId, UserId};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use store::live::Seen;
use uuid::Uuid;

/// Another connection with a transaction of this org open: what it locks waits for `release`.
struct Hold {
    sql: PgConnection,
    pid: i32,
}

impl Hold {
    async fn of(house: &House, tenant: &Tenant) -> Self {
        let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut sql).await.unwrap();
        let opening = format!(
            "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
             SET LOCAL app.org_id = '{}'",
            tenant.org.uuid()
        );
        sqlx::raw_sql(AssertSqlSafe(opening)).execute(&mut sql).await.unwrap();
        Self { sql, pid }
    }
    async fn run(&mut self, statement: String) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.sql).await.unwrap();
    }
    async fn id(&mut self, statement: &'static str) -> Uuid {
        sqlx::query_scalar(statement).fetch_one(&mut self.sql).await.unwrap()
    }
    async fn release(self) {
        self.sql.close().await.unwrap();
    }
}

/// Waits until a statement with these words stands in the queue behind this backend, and says which
/// backend it is.
async fn waits(house: &House, behind: i32, statement: &str) -> i32 {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let start = Instant::now();
    loop {
        let found: Option<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) AND query LIKE $2",
        )
        .bind(behind)
        .bind(format!("%{statement}%"))
        .fetch_optional(&mut sql)
        .await
        .unwrap();
        if let Some(pid) = found {
            return pid;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "nothing waits at {statement:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    Redeem,
    Refresh,
    SignIn,
}
const STORIES: [Story; 3] = [Story::Redeem, Story::Refresh, Story::SignIn];

/// Who revokes. The first two lock the person first, so they and the mint go one after the other; the
/// others end a whole org or connection, lock nobody, and do commit while the mint is under way.
#[derive(Clone, Copy, Debug)]
pub enum Revoker {
    Directory,
    Administrator,
    Org,
    Connection,
    Suspension,
}

impl Revoker {
    /// Revokes, and puts back what could hide that: the connection is enabled again, the org active.
    pub async fn act(self, house: &House, tenant: &Tenant, user: UserId) {
        let of = format!("/orgs/{}", tenant.org);
        let con = format!("{of}/connections/{}", tenant.connection);
        let calls: Vec<(&str, String, Option<Value>)> = match self {
            Self::Directory => {
                let path = format!("/scim/v2/Users/{user}");
                let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(inactive())).await;
                assert_eq!(status, 200, "{said}");
                vec![]
            }
            Self::Administrator => vec![("POST", format!("{of}/users/{user}/revoke"), None)],
            Self::Org => vec![("POST", format!("{of}/revoke"), None)],
            Self::Connection => {
                vec![("POST", format!("{con}/disable"), None), ("POST", format!("{con}/enable"), None)]
            }
            Self::Suspension => vec![
                ("PATCH", of.clone(), Some(json!({"state": "suspended"}))),
                ("PATCH", of, Some(json!({"state": "active"}))),
            ],
        };
        for (method, path, body) in calls {
            let (status, said) = house.api(method, &house.platform_key, &path, body).await;
            assert!(status < 300, "{method} {path}: {status} {said}");
        }
    }
}

fn inactive() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}],
    })
}

/// A person of the directory, or one whose seat their own sign-in made, with a session.
pub async fn person(house: &'static House, tenant: &Tenant, of_directory: bool) -> UserId {
    if of_directory {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("ada@{}", tenant.domain), "active": true,
        });
        let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await;
        assert_eq!(status, 201, "{made}");
    }
    let (_, given) = redeem(house, tenant, &code(house, tenant).await).await;
    let claims = crate::house::walk::claims(text(&given, "access_token"));
    text(&claims, "sub").parse().unwrap()
}

/// A story just before its request: what it will send.
pub struct Ready {
    story: Story,
    code: String,
    refresh: String,
    pub door: AtTheDoor,
}

pub async fn ready(house: &'static House, tenant: &Tenant, story: Story) -> Ready {
    let mut door = to_the_acs(house, tenant).await;
    let (mut code, mut refresh) = (String::new(), String::new());
    if story != Story::SignIn {
        code = param(&door.post().await, "code");
    }
    if story == Story::Refresh {
        let (status, given) = redeem(house, tenant, &code).await;
        assert_eq!(status, 200, "{given}");
        refresh = text(&given, "refresh_token").to_owned();
    }
    Ready { story, code, refresh, door }
}

/// What came out of a story.
pub struct Out {
    pub tokens: Option<Value>,
    pub code: Option<String>,
    pub browser: Browser,
}

impl Ready {
    /// Locks what this story touches after it has read its snapshot, and names the statement there.
    async fn stop_after_the_snapshot(&self, hold: &mut Hold, tenant: &Tenant, user: UserId) -> &'static str {
        match self.story {
            Story::Redeem => {
                // The family's reference to its session waits for whoever holds the session's row.
                hold.run("SELECT 1 FROM sessions FOR UPDATE".to_owned()).await;
                "INSERT INTO refresh_families"
            }
            Story::Refresh => {
                // Its usage row, written by somebody who has not committed yet.
                let id = hold.id("SELECT fam_id FROM refresh_families ORDER BY fam_id DESC LIMIT 1").await;
                let key = format!("{}:1", FamilyId::from_uuid(id));
                hold.run(format!(
                    "INSERT INTO usage_events (org_id, event_id, meter, value, at)
                     VALUES (current_org(), '{key}', 'token.issued', 1, now())"
                ))
                .await;
                "WITH kept AS"
            }
            Story::SignIn => {
                // A role that an earlier sign-in gave and this one takes away.
                let mut earlier = Hold::of(house(), tenant).await;
                earlier
                    .run(format!(
                        "INSERT INTO user_roles (org_id, user_id, role, source, created_at)
                         VALUES (current_org(), '{}', 'viewer', '{}', now());
                         COMMIT",
                        user.uuid(),
                        tenant.connection
                    ))
                    .await;
                hold.run("SELECT 1 FROM user_roles FOR UPDATE".to_owned()).await;
                "DELETE FROM user_roles"
            }
        }
    }

    pub async fn go(mut self, house: &'static House, tenant: &Tenant) -> Out {
        let (mut tokens, mut fresh) = (None, None);
        match self.story {
            Story::Redeem => tokens = Some(redeem(house, tenant, &self.code).await),
            Story::Refresh => tokens = Some(refresh(house, tenant, &self.refresh).await),
            Story::SignIn => {
                let page = self.door.post().await;
                if page.status == 303 {
                    fresh = sent_back(&page).into_iter().find(|(n, _)| n == "code").map(|(_, code)| code);
                }
            }
        }
        let tokens = tokens.filter(|(status, _)| *status == 200).map(|(_, given)| given);
        Out { tokens, code: fresh, browser: self.door.browser }
    }
}

/// Nothing of it is alive: neither in Postgres' answers nor in Redis nor in the browser.
pub async fn dead(house: &'static House, tenant: &Tenant, mut out: Out, how: &str) {
    if let Some(code) = &out.code {
        assert_eq!(redeem(house, tenant, code).await.0, 400, "{how}: the code");
    }
    if let Some(given) = &out.tokens {
        let access = text(given, "access_token");
        assert!(!is_active(house, tenant, access).await, "{how}: introspection");
        let userinfo = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(access);
        assert_eq!(userinfo.send().await.unwrap().status().as_u16(), 401, "{how}: userinfo");
        let (status, said) = refresh(house, tenant, text(given, "refresh_token")).await;
        assert_eq!(status, 400, "{how}: refresh {said}");
    }
    let cookies = out.browser.cookies(&house.base);
    let session = cookies.iter().find_map(|c| BrowserSession::read(&c.value));
    if let Some(session) = session {
        let scope = house.visitor(tenant).await;
        let live = house.gw.live.clone().unwrap();
        // A put that a busy machine was too slow for leaves nothing there to be alive.
        let dies = async move {
            while matches!(live.session(&scope, &session.digest).await, Seen::Alive(_)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(5), house.on(dies)).await;
        assert!(told.is_ok(), "{how}: the session in Redis");
    }
    let silent = authorize_url(house, tenant, &[("prompt", "none")]);
    let page = out.browser.get_once(&silent).await.unwrap();
    assert_eq!(param(&page, "error"), "login_required", "{how}: the browser's session");
}

#[tokio::test]
async fn what_is_minted_while_an_org_or_a_connection_ends_is_born_dead() {
    let house = house();
    for story in STORIES {
        for revoker in [Revoker::Org, Revoker::Connection, Revoker::Suspension] {
            let how = format!("{story:?} while {revoker:?}");
            let tenant = house.tenant().await;
            let user = person(house, &tenant, false).await;
            let ready = ready(house, &tenant, story).await;
            let mut hold = Hold::of(house, &tenant).await;
            let statement = ready.stop_after_the_snapshot(&mut hold, &tenant, user).await;
            let (out, ()) = tokio::join!(ready.go(house, &tenant), async {
                waits(house, hold.pid, statement).await;
                let acted = revoker.act(house, &tenant, user);
                tokio::time::timeout(Duration::from_secs(5), acted).await.expect("nobody holds a revoker up");
                hold.release().await;
            });
            dead(house, &tenant, out, &how).await;
        }
    }
}

#[tokio::test]
async fn who_ends_a_person_waits_for_the_mint_and_then_ends_what_it_gave() {
    let house = house();
    for story in STORIES {
        for revoker in [Revoker::Directory, Revoker::Administrator] {
            let how = format!("{story:?}, then {revoker:?}");
            let tenant = house.tenant().await;
            // A directory's people have no roles by sign-in, so that story is stopped with another's.
            let of_directory = matches!(revoker, Revoker::Directory);
            if of_directory && story == Story::SignIn {
                continue;
            }
            let user = person(house, &tenant, of_directory).await;
            let ready = ready(house, &tenant, story).await;
            let mut hold = Hold::of(house, &tenant).await;
            let statement = ready.stop_after_the_snapshot(&mut hold, &tenant, user).await;
            let pid = hold.pid;
            let (out, (), ()) = tokio::join!(
                ready.go(house, &tenant),
                async {
                    waits(house, pid, statement).await;
                    revoker.act(house, &tenant, user).await;
                },
                async {
                    let mint = waits(house, pid, statement).await;
                    waits(house, mint, "SELECT").await;
                    hold.release().await;
                }
            );
            assert!(out.tokens.is_some() || out.code.is_some(), "{how}: the mint was first");
            dead(house, &tenant, out, &how).await;
        }
    }
}

#[tokio::test]
async fn a_mint_that_waited_behind_a_deactivation_reads_the_person_as_they_are_then() {
    let house = house();
    for story in STORIES {
        let how = format!("{story:?} behind a deactivation");
        let tenant = house.tenant().await;
        let user = person(house, &tenant, true).await;
        let ready = ready(house, &tenant, story).await;
        // The deactivation has the person locked and stands before the org's head.
        let mut hold = Hold::of(house, &tenant).await;
        hold.run("SELECT 1 FROM revocation_heads FOR UPDATE".to_owned()).await;
        let pid = hold.pid;
        let (out, (), ()) = tokio::join!(
            async {
                waits(house, pid, "WITH next AS").await;
                ready.go(house, &tenant).await
            },
            Revoker::Directory.act(house, &tenant, user),
            async {
                let revoker = waits(house, pid, "WITH next AS").await;
                waits(house, revoker, "SELECT").await;
                hold.release().await;
            }
        );
        assert!(out.tokens.is_none() && out.code.is_none(), "{how}: refused");
        dead(house, &tenant, out, &how).await;
    }
}

#[tokio::test]
async fn no_mint_waits_for_the_head() {
    let house = house();
    let tenant = house.tenant().await;
    let mut hold = Hold::of(house, &tenant).await;
    hold.run("SELECT 1 FROM revocation_heads FOR UPDATE".to_owned()).await;
    let given = crate::house::walk::tokens(house, &tenant).await;
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 200);
    hold.release().await;
}

#[tokio::test]
async fn what_was_committed_but_not_answered_yet_dies_on_the_way() {
    let house = house();
    for story in [Story::Redeem, Story::Refresh] {
        let how = format!("{story:?}, its answer under way");
        let tenant = house.tenant().await;
        let user = person(house, &tenant, true).await;
        let ready = ready(house, &tenant, story).await;
        let committed = match story {
            Story::Redeem => "SELECT count(*) = 2 FROM refresh_families",
            Story::Refresh | Story::SignIn => {
                "SELECT count(*) = 1 FROM refresh_families WHERE generation = 1"
            }
        };
        let (out, ()) = tokio::join!(ready.go(house, &tenant), async {
            let start = Instant::now();
            loop {
                let mut look = Hold::of(house, &tenant).await;
                let done: bool = sqlx::query_scalar(committed).fetch_one(&mut look.sql).await.unwrap();
                look.release().await;
                if done {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(5), "{how}: never committed");
            }
            Revoker::Directory.act(house, &tenant, user).await;
        });
        assert!(out.tokens.is_some(), "{how}");
        dead(house, &tenant, out, &how).await;
    }
}
