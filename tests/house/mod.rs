//! The harness: one gateway with its own Postgres and Redis for the whole run, a fresh org for each
//! test. The org is the unit of isolation, so row level security is under test all the time.

pub mod dns;
pub mod front;
pub mod line;
pub mod openid;
pub mod redis;
pub mod served;
pub mod shape;
pub mod walk;

use idp_fixtures::{Person, SamlIdp, SamlIdpSettings, ServiceProvider};
use model::{
    Timestamp, TokenDigest,
    ids::{AppId, ConnectionId, DirectoryId, DomainId, KeyId, OrgId},
    org::OrgState,
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use store::{
    App, AuthMethod, Call, ConnectionKind, ConnectionState, Holder, NewApp, NewConnection, NewCredential,
    NewOrg, Operator, OrgFacts, OrgRef, PlatformAct, PlatformActor,
};
use token::credential::{OrgBoundKind, UnboundKind, bearer, org_bearer};
use vestibule::{
    running,
    seams::{Clock, SystemChance, SystemClock},
    settings::Settings,
    wiring,
};

pub struct House {
    pub base: String,
    pub gw: broker::Gateway,
    pub database_url: String,
    pub operator: Operator,
    pub platform_key: String,
    pub http: reqwest::Client,
    pub dns: dns::Dns,
    runtime: tokio::runtime::Handle,
}

static HOUSE: OnceLock<&'static House> = OnceLock::new();
static ORGS: AtomicU32 = AtomicU32::new(0);

/// Where a gateway of the tests stands: its data folder, and what it does not start itself.
pub struct Site {
    pub data: PathBuf,
    pub redis_url: Option<String>,
    /// What a credential and an org may ask a second: more than any test asks, but that of limits.
    pub requests_per_sec: u32,
    /// The public URL of a node that stands beside another; its own address otherwise.
    pub public_url: Option<String>,
    /// How long a statement may take.
    pub statement_timeout_secs: u32,
}

impl Site {
    /// A folder of this run. Two sites of one name share their stores.
    pub fn named(name: &str) -> Self {
        let folder = format!("vestibule-{name}-{}", std::process::id());
        Self {
            data: std::env::temp_dir().join(folder),
            redis_url: None,
            requests_per_sec: 100_000,
            public_url: None,
            statement_timeout_secs: 10,
        }
    }

    /// Starts the gateway; it serves until the run ends.
    pub fn open(self) -> &'static House {
        let (told, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let (house, mut running, stores) = start(self).await;
                told.send(house).unwrap();
                running.ended().await;
                drop(stores);
            });
        });
        Box::leak(Box::new(hear.recv().expect("the house starts")))
    }
}

/// The one house of this run, started by whoever asks first.
pub fn house() -> &'static House {
    HOUSE.get_or_init(|| Site::named("test").open())
}

async fn start(site: Site) -> (House, running::Running, wiring::Stores) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://localhost:{port}");
    let dns = dns::Dns::start();
    let mut given = vec![
        ("VESTIBULE_PUBLIC_URL".to_owned(), site.public_url.unwrap_or_else(|| base.clone())),
        ("VESTIBULE_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
        ("VESTIBULE_DATA_DIR".to_owned(), site.data.display().to_string()),
        ("VESTIBULE_EGRESS__ALLOW_LOOPBACK".to_owned(), "true".to_owned()),
        ("VESTIBULE_EGRESS__NAME_SERVERS".to_owned(), dns.address.to_string()),
        ("VESTIBULE_LIMITS__CREDENTIAL_REQUESTS_PER_SEC".to_owned(), site.requests_per_sec.to_string()),
        ("VESTIBULE_LIMITS__ORG_REQUESTS_PER_SEC".to_owned(), site.requests_per_sec.to_string()),
        ("VESTIBULE_DATABASE__STATEMENT_TIMEOUT_SECS".to_owned(), site.statement_timeout_secs.to_string()),
    ];
    given.extend(site.redis_url.map(|url| ("REDIS_URL".to_owned(), url)));
    let settings = Settings::load(None, given).unwrap();
    let stores = wiring::Stores::open(&settings, false, |_| {}).expect("stores start");
    store::migrate(&stores.migrate_url).await.expect("migrations run");
    let running = wiring::serve(&settings, &stores).await.expect("the gateway serves");
    let gw = running.gateway.clone();
    let platform_key = bearer(UnboundKind::Platform, &SystemChance).reveal().clone();
    let id = KeyId::new(now(), &SystemChance);
    let act = PlatformAct { by: PlatformActor::CommandLine, request_id: "test-request", at: now() };
    gw.db.create_platform_key(act, id, "tests", &TokenDigest::of(&platform_key)).await.unwrap();
    let operator = gw.db.platform_key(&TokenDigest::of(&platform_key)).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the tests' own client")]
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let house = House {
        base,
        gw,
        database_url: stores.database_url.clone(),
        operator,
        platform_key,
        http,
        dns,
        runtime: tokio::runtime::Handle::current(),
    };
    (house, running, stores)
}

pub fn now() -> Timestamp {
    SystemClock.now()
}

pub fn call() -> Call {
    Call { request_id: "test-request".to_owned(), ip: None, user_agent: None, at: now() }
}

/// An org of a test's own, with a verified domain, a SAML connection at its own provider, a
/// directory and an app.
pub struct Tenant {
    pub org: OrgId,
    pub slug: String,
    pub domain: String,
    pub connection: ConnectionId,
    pub directory: DirectoryId,
    pub scim_token: String,
    pub org_key: String,
    pub idp: SamlIdp,
    pub app: TestApp,
}

pub struct TestApp {
    pub id: AppId,
    pub secret: String,
    pub redirect_uri: String,
}

impl House {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Runs on the gateway's own runtime: a pooled connection belongs to the runtime that opened
    /// it, and a test's ends with the test.
    pub async fn on<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.spawn(work).await.unwrap()
    }

    pub async fn tenant(&'static self) -> Tenant {
        self.tenant_with(0).await
    }

    /// `grace_secs` is the app's refresh grace.
    pub async fn tenant_with(&'static self, grace_secs: i64) -> Tenant {
        self.on(self.make_tenant(grace_secs)).await
    }

    async fn make_tenant(&self, grace_secs: i64) -> Tenant {
        let n = ORGS.fetch_add(1, Ordering::Relaxed);
        let (slug, domain) = (format!("org{n}"), format!("org{n}.example"));
        let org = OrgId::new(now(), &SystemChance);
        let facts = OrgFacts {
            id: org,
            slug: slug.clone(),
            state: OrgState::Active,
            plan: "standard".into(),
            region: "eu".into(),
        };
        let scope = self.gw.db.founding(self.operator, facts, &call());
        let mut tx = self.gw.db.write(&scope, "test.found").await.unwrap();
        tx.found_org(&NewOrg { slug: &slug, name: &slug, plan: "standard", region: "eu" }).await.unwrap();
        let dom = DomainId::new(now(), &SystemChance);
        let room = tx.room().await.unwrap().unwrap();
        tx.claim_domain(room, dom, &domain, "txt").await.unwrap();
        tx.verify_domain(dom).await.unwrap();
        let people =
            vec![Person::new(&format!("ada@{domain}"), "pw", "Ada", "Lovelace").in_groups(&["engineers"])];
        let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
        let connection = ConnectionId::new(now(), &SystemChance);
        let found = saml::metadata::read(&idp.metadata_xml(), now()).unwrap();
        let config = json!({
            "idp_entity_id": found.entity_id, "sso_redirect_url": found.sso_redirect_url,
            "sso_post_url": found.sso_post_url, "certificates": found.certificates, "jit": true,
        });
        let config = serde_json::to_value(config_with_defaults(config)).unwrap();
        let room = tx.room().await.unwrap().unwrap();
        let (id, kind) = (connection, ConnectionKind::Saml);
        let new = NewConnection { id, kind, name: "Okta", config: &config, secret: None };
        tx.create_connection(room, &new).await.unwrap();
        tx.set_connection_state(connection, ConnectionState::Enabled).await.unwrap();
        let directory = DirectoryId::new(now(), &SystemChance);
        let room = tx.room().await.unwrap().unwrap();
        tx.create_directory(room, directory, "Okta", None).await.unwrap();
        let scim_token = org_bearer(OrgBoundKind::Scim, org, &SystemChance).reveal().clone();
        let org_key = org_bearer(OrgBoundKind::OrgKey, org, &SystemChance).reveal().clone();
        for (holder, text, scopes) in [
            (Holder::Directory(directory), &scim_token, vec![]),
            (Holder::Org, &org_key, vec!["*".to_owned()]),
        ] {
            let digest = TokenDigest::of(text);
            let id = KeyId::new(now(), &SystemChance);
            let new = NewCredential {
                id,
                holder,
                name: "test",
                digest: &digest,
                scopes: &scopes,
                expires_at: None,
            };
            let room = tx.room().await.unwrap().unwrap();
            tx.create_credential(&new, Some(room)).await.unwrap();
        }
        tx.commit(Record::of(AuditEvent::done(Act::OrgCreated).on("org", org))).await.unwrap();
        idp.set_sp(ServiceProvider {
            entity_id: self.gw.links.saml_entity_id(connection),
            acs_url: self.gw.links.saml_acs(connection),
        });
        let app = self.make_app(grace_secs).await;
        Tenant { org, slug, domain, connection, directory, scim_token, org_key, idp, app }
    }

    pub async fn app(&'static self, grace_secs: i64) -> TestApp {
        self.on(self.make_app(grace_secs)).await
    }

    async fn make_app(&self, grace_secs: i64) -> TestApp {
        let secret = bearer(UnboundKind::ClientSecret, &SystemChance).reveal().clone();
        let id = AppId::new(now(), &SystemChance);
        let redirect_uri = "http://localhost:1/callback".to_owned();
        let app = App {
            id,
            name: "test".into(),
            audience: id.to_string(),
            redirect_uris: vec![redirect_uri.clone()],
            post_logout_redirect_uris: vec![],
            auth_method: AuthMethod::ClientSecretBasic,
            secret: Some(TokenDigest::of(&secret)),
            old_secret: None,
            all_orgs: true,
            refresh_grace_secs: grace_secs,
            backchannel_logout_uri: None,
            signing_alg: model::SigningAlg::Es256,
            keys: None,
            claims: Vec::new(),
            resources: Vec::new(),
            initiate_login_uri: Some("http://localhost:1/start".into()),
        };
        let new = NewApp { app: &app, orgs: &[] };
        let act = PlatformAct { by: self.operator.into(), request_id: "test-request", at: now() };
        self.gw.db.create_app(act, &new).await.unwrap();
        TestApp { id, secret, redirect_uri }
    }

    /// POSTs a form as this app; answers status and JSON.
    pub async fn as_app(&self, app: &TestApp, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let sent = self
            .http
            .post(self.url(path))
            .basic_auth(app.id.to_string(), Some(&app.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish())
            .send()
            .await
            .unwrap();
        let status = sent.status().as_u16();
        let text = sent.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A SCIM request with this token; answers status and JSON.
    pub async fn scim(&self, method: &str, token: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, self.url(path)).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let sent = request.send().await.unwrap();
        let status = sent.status().as_u16();
        let text = sent.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A call of `/api/v1`; answers status and JSON, which are as they are described.
    pub async fn api(&self, method: &str, key: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.described(method, path, |request| request.bearer_auth(key), body).await
    }

    /// The same, by an app.
    pub async fn api_as_app(
        &self,
        method: &str,
        app: &TestApp,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let by = |request: reqwest::RequestBuilder| request.basic_auth(app.id.to_string(), Some(&app.secret));
        self.described(method, path, by, body).await
    }

    async fn described(
        &self,
        method: &str,
        path: &str,
        by: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
        body: Option<Value>,
    ) -> (u16, Value) {
        let path = format!("/api/v1{path}");
        let verb = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = by(self.http.request(verb, self.url(&path)));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let sent = request.send().await.unwrap();
        let status = sent.status().as_u16();
        let kind = sent.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let text = sent.text().await.unwrap();
        shape::hold(method, &path, (status, &kind, &text));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn visitor(&'static self, tenant: &Tenant) -> store::OrgScope<store::Visitor> {
        let org = OrgRef::Id(tenant.org);
        self.on(async move { self.gw.db.visitor(&org, &call()).await.unwrap() }).await
    }
}

fn config_with_defaults(config: Value) -> broker::begin::SamlConfig {
    let mut config = config;
    config["attribute_map"] = json!({});
    serde_json::from_value(config).unwrap()
}

pub const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-long";

/// What `VERIFIER` answers (RFC 7636 4.2).
pub fn challenge() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

/// Where an app sends the browser.
pub fn authorize_url(house: &House, tenant: &Tenant, more: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let id = tenant.app.id.to_string();
    let mut query: BTreeMap<&str, &str> = BTreeMap::from([
        ("client_id", id.as_str()),
        ("redirect_uri", tenant.app.redirect_uri.as_str()),
        ("response_type", "code"),
        ("scope", "openid profile email offline_access"),
        ("state", "app-state"),
        ("nonce", "app-nonce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("organization", tenant.slug.as_str()),
    ]);
    query.extend(more.iter().copied());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    house.url(&format!("/oauth2/authorize?{query}"))
}
