//! Orgs with everything that a login takes, and the login itself.

use crate::gateway::{Gateway, client};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use idp_fixtures::{Person, ResponseParams, SamlIdp, SamlIdpSettings, ServiceProvider};
use serde_json::{Value, json};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-long";
const CALLBACK: &str = "http://localhost:1/callback";
/// Where a proxy before the same app leads browsers.
const FRONT: &str = "http://localhost:1/_vestibule/callback";

/// Orgs that people sign in at, and the people of each: as many together as there are clients, because
/// the sign-ins of one person stand in line.
pub const TENANTS: usize = 8;
pub const PEOPLE: usize = 4;

pub struct Stage {
    pub http: reqwest::Client,
    pub base: String,
    tenants: Vec<Tenant>,
    /// The id and the secret of an app, and of a service account whose tokens are for it.
    pub app: (String, String),
    pub service: (String, String),
}

struct Tenant {
    slug: String,
    idp: SamlIdp,
    connection: String,
}

pub async fn post(http: &reqwest::Client, url: String, key: &str, body: Value) -> Value {
    let sent =
        http.post(url).bearer_auth(key).header("content-type", "application/json").body(body.to_string());
    let text = sent.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

pub async fn set(gateway: &Gateway, key: &str, orgs: usize) -> Stage {
    let http = client();
    let api = |path: &str| format!("{}/api/v1{path}", gateway.base);
    for n in 1..orgs {
        post(&http, api("/orgs"), key, json!({"slug": format!("other{n}"), "name": format!("Other {n}")}))
            .await;
    }
    let mut tenants = Vec::new();
    for n in 0..TENANTS {
        tenants.push(tenant(&http, &gateway.base, key, slug(n)).await);
    }
    let app = json!({"name": "load", "redirect_uris": [CALLBACK, FRONT]});
    let app = post(&http, api("/apps"), key, app).await;
    let service = json!({"name": "load", "roles": [], "audience": text(&app, "client_id")});
    let service = post(&http, api(&format!("/orgs/{}/service-accounts", slug(0))), key, service).await;
    let client = |made: &Value| (text(made, "client_id"), text(made, "client_secret"));
    Stage { http, base: gateway.base.clone(), tenants, app: client(&app), service: client(&service) }
}

async fn tenant(http: &reqwest::Client, base: &str, key: &str, slug: String) -> Tenant {
    let api = |path: &str| format!("{base}/api/v1/orgs{path}");
    post(http, api(""), key, json!({"slug": slug, "name": "Acme"})).await;
    let domain = json!({"name": format!("{slug}.example"), "trusted": true});
    post(http, api(&format!("/{slug}/domains")), key, domain).await;
    let person = |n| Person::new(&email(&slug, n), "pw", "Ada", "Lovelace");
    let people = (0..PEOPLE).map(person).collect();
    let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
    let connection = json!({"type": "saml", "name": "Okta", "metadata_xml": idp.metadata_xml()});
    let made = post(http, api(&format!("/{slug}/connections")), key, connection).await;
    let connection = text(&made, "id");
    post(http, api(&format!("/{slug}/connections/{connection}/enable")), key, json!({})).await;
    idp.set_sp(ServiceProvider {
        entity_id: text(&made["sp"], "entity_id"),
        acs_url: text(&made["sp"], "acs_url"),
    });
    Tenant { slug, idp, connection }
}

pub fn slug(n: usize) -> String {
    format!("acme{n}")
}

pub fn email(slug: &str, n: usize) -> String {
    format!("ada{n}@{slug}.example")
}

impl Stage {
    pub async fn as_app(&self, path: &str, form: &[(&str, &str)]) -> Value {
        self.as_client(&self.app, path, form).await
    }

    pub async fn as_client(&self, client: &(String, String), path: &str, form: &[(&str, &str)]) -> Value {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self
            .http
            .post(format!("{}{path}", self.base))
            .basic_auth(&client.0, Some(&client.1))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = sent.send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null)
    }

    /// Authorize, ACS, token: the gateway's three requests of a SAML sign-in, by the `n`th person in turn.
    pub async fn login(&self, n: usize) -> Value {
        let tenant = &self.tenants[n % TENANTS];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", self.app.0.as_str()),
                ("redirect_uri", CALLBACK),
                ("response_type", "code"),
                ("scope", "openid offline_access"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
                ("organization", tenant.slug.as_str()),
            ])
            .finish();
        let back = self.answered(n, &format!("{}/oauth2/authorize?{query}", self.base)).await;
        let code = form_urlencoded::parse(back.split_once('?').unwrap().1.as_bytes())
            .find(|(n, _)| n == "code")
            .unwrap()
            .1
            .into_owned();
        let form = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
        let tokens = self.as_app("/oauth2/token", &form).await;
        assert!(tokens["access_token"].is_string(), "{tokens}");
        tokens
    }

    /// The cookie of a browser that signed in at the proxy before the app.
    pub async fn pass(&self, n: usize) -> String {
        let (at, slug) = (format!("{}/proxy/{}", self.base, self.app.0), &self.tenants[n % TENANTS].slug);
        let begun = self.http.get(format!("{at}/sign-in?organization={slug}&to=/")).send().await.unwrap();
        let header = |name: &str| begun.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (location, cookie) = (header("location"), header("set-cookie"));
        let back = self.answered(n, &location).await;
        let callback = format!("{at}/callback?{}", back.split_once('?').unwrap().1);
        let cookie = cookie.split(';').next().unwrap();
        let given = self.http.get(callback).header("cookie", cookie).send().await.unwrap();
        let set = given.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let pass = set.filter_map(|line| line.split(';').next()).find(|pair| pair.contains("=vst_pass_"));
        pass.unwrap_or_else(|| panic!("no pass: {}", given.status())).to_owned()
    }

    /// From an address of the authorization endpoint to the way back to the app, with a code.
    async fn answered(&self, n: usize, authorize: &str) -> String {
        let tenant = &self.tenants[n % TENANTS];
        let person = email(&tenant.slug, n / TENANTS % PEOPLE);
        let sent = self.http.get(authorize).send().await.unwrap();
        let header = |name: &str| sent.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (location, cookie) = (header("location"), header("set-cookie"));
        let upstream: Vec<(String, String)> =
            form_urlencoded::parse(location.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        let find = |name: &str| upstream.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let request_id = request_id(&find("SAMLRequest"));
        let acs = format!("{}/saml/{}/acs", self.base, tenant.connection);
        let audience = format!("{}/saml/{}/metadata", self.base, tenant.connection);
        let params = ResponseParams::new(&acs, &audience, Some(&request_id), idp_fixtures::now());
        let response = tenant.idp.response_for(&person, &params).unwrap();
        let form = [("SAMLResponse", response.as_str()), ("RelayState", &find("RelayState"))];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self
            .http
            .post(&acs)
            .header("cookie", cookie.split(';').next().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let Some(location) = sent.headers().get("location") else {
            panic!("refused: {} {:?}", sent.status(), sent.headers().get("x-vestibule-code"))
        };
        location.to_str().unwrap().to_owned()
    }
}

/// The ID inside a deflated AuthnRequest.
fn request_id(deflated: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(deflated).unwrap();
    let xml = String::from_utf8(miniz_oxide::inflate::decompress_to_vec(&bytes).unwrap()).unwrap();
    xml.split(" ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}
