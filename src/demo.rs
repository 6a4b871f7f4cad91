//! Two companies, their identity providers and an app, on this machine alone: acme signs in by SAML
//! at an Okta look-alike, globex by OpenID Connect at an Entra look-alike. Real servers, real
//! protocols; only the people are made up.

mod app;

use crate::{
    embedded::Embedded,
    platform_keys, running,
    seams::{Clock, SystemChance, SystemClock},
    settings::Settings,
    wiring,
};
use broker::{
    Gateway,
    begin::{AttributeNames, SamlConfig},
    begin_oidc::OidcConfig,
};
use idp_fixtures::{
    DeskOrg, DeskSettings, OidcClient, OidcIdp, OidcIdpSettings, Person, RelyingParty, SamlIdp,
    SamlIdpSettings, ServiceProvider, Vendor, desk::Desk, walk::walk,
};
use model::{
    Secret, TokenDigest,
    ids::{ConnectionId, DirectoryId, DomainId, KeyId, OrgId, TeamId},
    org::OrgState,
    record::{Act, AuditEvent, Record},
};
use std::{collections::BTreeSet, error::Error, io, net::TcpListener, sync::Arc};
use store::{
    Call, ConnectionKind, ConnectionState, GateError, GroupMapping, Holder, NewConnection, NewCredential,
    NewOrg, Operator, OrgFacts, OrgRef,
};
use token::credential::{OrgBoundKind, UnboundKind, bearer, org_bearer};

type Stopped = Box<dyn Error>;

/// The demo's settings, over the defaults: everybody lives on localhost.
pub fn environment(port: u16) -> Vec<(String, String)> {
    let pairs = [
        ("VESTIBULE_PUBLIC_URL", format!("http://localhost:{port}")),
        ("VESTIBULE_LISTEN", format!("127.0.0.1:{port}")),
        ("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true".to_owned()),
        // What a person reads in the demo's terminal is the demo; an operator sets this per process.
        ("VESTIBULE_LOG__LEVEL", "error".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The gateway's port, then the desk's, the app's, and the two providers'.
const PORTS: u16 = 5;
/// The demo people's password: shown on every page that asks for it.
const PASSWORD: &str = "demo";

fn free_ports(port: u16) -> Result<(), Stopped> {
    let Err((taken, why)) = all_free(port) else { return Ok(()) };
    let others = (port.saturating_add(10)..u16::MAX - PORTS).step_by(10);
    let hint = match others.take(1000).find(|other| all_free(*other).is_ok()) {
        Some(free) => format!("use --port {free}"),
        None => "use another --port".to_owned(),
    };
    Err(format!("port {taken} is taken ({why}); {hint}").into())
}

/// The first port of a demo's that is taken.
fn all_free(port: u16) -> Result<(), (u16, io::Error)> {
    let mut ports = port..port.saturating_add(PORTS);
    ports.try_for_each(|port| TcpListener::bind(("127.0.0.1", port)).map(drop).map_err(|why| (port, why)))
}

/// What the environment gives is used as it is, so it is named before anything is done to it.
fn name_given(settings: &Settings) {
    if let Some(url) = &settings.database.url {
        eprintln!("using DATABASE_URL: {}; its schema vst is the demo's", place(url.reveal()));
    }
    if let Some(url) = &settings.redis.url {
        eprintln!("using REDIS_URL: {}", place(url.reveal()));
    }
}

/// Where a store's URL leads, without what is secret in it: host, port and name.
fn place(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return "an unreadable URL".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

/// Starts everything; with `check` walks the story once and ends, else serves until told to stop.
pub fn run(settings: &Settings, port: u16, reset: bool, check: bool) -> Result<(), Stopped> {
    name_given(settings);
    if settings.database.url.is_none() || settings.redis.url.is_none() {
        Embedded::refuse_held(&settings.data_dir)?;
    }
    if reset && settings.database.url.is_some() {
        return Err(
            "--reset forgets a database of the data folder alone; drop the schema vst yourself".into()
        );
    }
    free_ports(port)?;
    if reset {
        Embedded::reset(&settings.data_dir)?;
        eprintln!("The demo's data is forgotten.");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let telemetry = {
        let _within = runtime.enter();
        crate::telemetry::start(settings)?
    };
    let stores = wiring::Stores::hold(settings, "vestibule demo", |line| eprintln!("{line}"))?;
    let ended = runtime.block_on(async {
        wiring::migrate_at(settings, &stores).await?;
        let mut running = wiring::serve(settings, &stores).await?;
        let stage = set(&running.gateway, port).await?;
        if check {
            let walked = walk(&stage.desk, Some(&stage.saml), |step| {
                println!("{:>8.1} ms  {}{}", step.millis, step.name, prefixed(&step.detail));
            })
            .await;
            running.stop().await;
            walked.map_err(|error| format!("{error}"))?;
            println!("Everything holds.");
            return Ok(());
        }
        let saml = stage.saml.clone();
        idp_fixtures::provision(&stage.desk).await?;
        let desk = Desk::start(stage.desk, Some(saml)).await?;
        println!("\nThe demo is up: open {}\n", desk.base_url());
        println!("  gateway  {}", running.gateway.links.issuer());
        println!("  app      {}", stage.app.base_url());
        println!("  Okta     {}   (a look-alike, org acme)", stage.saml.base_url());
        println!("  Entra    {}   (a look-alike, org globex)", stage.oidc.base_url());
        println!("\nCtrl-C ends it; what it keeps is in {}.", settings.data_dir.display());
        tokio::select! {
            () = running::told_to_stop() => {}
            () = running.ended() => {}
        }
        drop(desk);
        running.stop().await;
        Ok(())
    });
    telemetry.stop();
    ended
}

fn prefixed(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Who plays.
struct Stage {
    saml: Arc<SamlIdp>,
    oidc: OidcIdp,
    app: RelyingParty,
    desk: DeskSettings,
}

fn call() -> Call {
    Call { request_id: "demo-set-up".to_owned(), ip: None, user_agent: None, at: SystemClock.now() }
}

async fn set(gw: &Gateway, port: u16) -> Result<Stage, Stopped> {
    let ada = Person::new("ada@acme.example", PASSWORD, "Ada", "Lovelace").in_groups(&["engineering"]);
    let grace = Person::new("grace@globex.example", PASSWORD, "Grace", "Hopper").in_groups(&["engineering"]);
    let saml = SamlIdp::start(SamlIdpSettings {
        listen_port: port.saturating_add(3),
        people: vec![ada.clone()],
        ..SamlIdpSettings::default()
    })
    .await?;
    let oidc = OidcIdp::start(OidcIdpSettings {
        listen_port: port.saturating_add(4),
        people: vec![grace.clone()],
        ..OidcIdpSettings::default()
    })
    .await?;
    let operator = platform_keys::kept(&gw.db, "demo").await?;
    let (client_id, client_secret) =
        ("vestibule".to_owned(), bearer(UnboundKind::ClientSecret, &SystemChance));
    let acme = Seed { slug: "acme", name: "Acme", upstream: Upstream::Saml(&saml) };
    let globex =
        Seed { slug: "globex", name: "Globex", upstream: Upstream::Oidc(&oidc, &client_id, &client_secret) };
    let acme = found(gw, operator, &acme).await?;
    let globex = found(gw, operator, &globex).await?;
    saml.set_sp(ServiceProvider {
        entity_id: gw.links.saml_entity_id(acme.connection),
        acs_url: gw.links.saml_acs(acme.connection),
    });
    oidc.set_client(OidcClient {
        client_id,
        client_secret: client_secret.reveal().clone(),
        redirect_uris: vec![gw.links.oidc_callback(globex.connection)],
    });
    let app = app::start(gw, operator, port.saturating_add(2)).await?;
    let desk = DeskSettings {
        port: port.saturating_add(1),
        gateway_url: gw.links.issuer().to_owned(),
        app_url: app.base_url().to_owned(),
        app: app.settings().clone(),
        orgs: vec![
            acme.desk("acme", "Acme", "Okta (a look-alike)", Vendor::Okta, ada),
            globex.desk("globex", "Globex", "Entra (a look-alike)", Vendor::Entra, grace),
        ],
    };
    Ok(Stage { saml: Arc::new(saml), oidc, app, desk })
}

enum Upstream<'a> {
    Saml(&'a SamlIdp),
    Oidc(&'a OidcIdp, &'a str, &'a Secret<String>),
}

struct Seed<'a> {
    slug: &'static str,
    name: &'static str,
    upstream: Upstream<'a>,
}

/// An org of the demo, with credentials of this start.
struct Founded {
    org: OrgId,
    connection: ConnectionId,
    org_key: Secret<String>,
    scim_token: Secret<String>,
}

impl Founded {
    fn desk(&self, slug: &str, name: &str, idp_name: &str, vendor: Vendor, person: Person) -> DeskOrg {
        DeskOrg {
            slug: slug.to_owned(),
            id: self.org.to_string(),
            name: name.to_owned(),
            idp_name: idp_name.to_owned(),
            vendor,
            connection_id: self.connection.to_string(),
            org_key: self.org_key.reveal().clone(),
            scim_token: self.scim_token.reveal().clone(),
            person,
        }
    }
}

/// Founds the org, or finds it from an earlier start; its connection and credentials are of this one.
async fn found(gw: &Gateway, operator: Operator, seed: &Seed<'_>) -> Result<Founded, Stopped> {
    let (now, slug) = (SystemClock.now(), OrgRef::Slug(seed.slug.to_owned()));
    let there = match gw.db.operator(operator, &slug, &call()).await {
        Ok(scope) => Some(scope),
        Err(GateError::Unknown) => None,
        Err(other) => return Err(other.into()),
    };
    let fresh = there.is_none();
    let scope = there.unwrap_or_else(|| {
        let facts = OrgFacts {
            id: OrgId::new(now, &SystemChance),
            slug: seed.slug.to_owned(),
            state: OrgState::Active,
            plan: "standard".to_owned(),
            region: "local".to_owned(),
        };
        gw.db.founding(operator, facts, &call())
    });
    let org = scope.org();
    let mut tx = gw.db.write(&scope, "demo.found").await?;
    if fresh {
        tx.found_org(&NewOrg { slug: seed.slug, name: seed.name, plan: "standard", region: "local" }).await?;
        let domain = DomainId::new(now, &SystemChance);
        let room = tx.room().await??;
        tx.claim_domain(room, domain, &format!("{}.example", seed.slug), "demo").await?;
        tx.verify_domain(domain).await?;
        let team = TeamId::new(now, &SystemChance);
        let room = tx.room().await??;
        tx.create_team(room, team, "engineering", "Engineering").await?;
        let mapping = GroupMapping {
            group_id: "engineering".to_owned(),
            team_id: Some(team),
            roles: vec!["member".to_owned()],
        };
        tx.set_group_mappings(&[mapping]).await?;
        let room = tx.room().await??;
        tx.create_directory(room, DirectoryId::new(now, &SystemChance), seed.name, None).await?;
    }
    let connection = connect(&mut tx, seed).await?;
    let directory =
        tx.directories().await?.first().map(|d| d.id).ok_or("the demo's directory is gone: use --reset")?;
    let org_key = org_bearer(OrgBoundKind::OrgKey, org, &SystemChance);
    let scim_token = org_bearer(OrgBoundKind::Scim, org, &SystemChance);
    for (holder, text, scopes) in [
        (Holder::Org, &org_key, vec!["*".to_owned()]),
        (Holder::Directory(directory), &scim_token, Vec::new()),
    ] {
        for old in tx.credentials(holder).await? {
            tx.revoke_credential(holder, old.id).await?;
        }
        let digest = TokenDigest::of(text.reveal());
        let id = KeyId::new(now, &SystemChance);
        let new =
            NewCredential { id, holder, name: "demo", digest: &digest, scopes: &scopes, expires_at: None };
        let room = tx.room().await??;
        tx.create_credential(&new, Some(room)).await?;
    }
    tx.commit(Record::of(AuditEvent::done(Act::OrgDemoSetUp).on("org", org))).await?;
    Ok(Founded { org, connection, org_key, scim_token })
}

/// The org's connection: made at the first start. Its provider has new keys at each, so what the
/// gateway trusts is set anew.
async fn connect(tx: &mut store::TenantTx, seed: &Seed<'_>) -> Result<ConnectionId, Stopped> {
    let now = SystemClock.now();
    let (kind, name, config, secret) = match &seed.upstream {
        Upstream::Saml(idp) => {
            let found =
                saml::metadata::read(&idp.metadata_xml(), now).map_err(|refusal| refusal.to_string())?;
            let config = SamlConfig {
                idp_entity_id: found.entity_id,
                sso_redirect_url: found.sso_redirect_url,
                sso_post_url: found.sso_post_url,
                certificates: found.certificates,
                attribute_map: AttributeNames::default(),
                groups_attribute: Some("groups".to_owned()),
                jit: Some(true),
                subject_is_external_id: false,
                allow_idp_initiated: false,
                signals: None,
            };
            (ConnectionKind::Saml, "Okta", serde_json::to_value(config)?, None)
        }
        Upstream::Oidc(idp, client_id, secret) => {
            let config = OidcConfig {
                issuer: idp.issuer().to_owned(),
                client_id: (*client_id).to_owned(),
                jit: Some(true),
                subject_is_external_id: false,
                trust_email: false,
                groups_claim: Some("groups".to_owned()),
                hosts: BTreeSet::new(),
                signals: None,
            };
            (ConnectionKind::Oidc, "Entra", serde_json::to_value(config)?, Some(*secret))
        }
    };
    if let Some(known) = tx.connections().await?.into_iter().find(|c| c.kind == kind) {
        tx.change_connection(known.id, name, &config).await?;
        if let Some(secret) = secret {
            tx.set_connection_secret(known.id, secret).await?;
        }
        return Ok(known.id);
    }
    let id = ConnectionId::new(now, &SystemChance);
    let room = tx.room().await??;
    tx.create_connection(room, &NewConnection { id, kind, name, config: &config, secret }).await?;
    tx.set_connection_state(id, ConnectionState::Enabled).await?;
    Ok(id)
}
