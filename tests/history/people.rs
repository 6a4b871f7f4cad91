//! The orgs, their people, and what they do: each deed asked for once, with what came of it.

use crate::{
    judge::Outcome,
    plan::{ORGS, PEOPLE},
    stand::Stand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use idp_fixtures::{Person, ResponseParams, SamlIdp, SamlIdpSettings, ServiceProvider};
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-long";
const CALLBACK: &str = "http://localhost:1/callback";
const BYE: &str = "http://localhost:1/bye";
/// No answer is waited for longer: it is none.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn http(host: &str) -> reqwest::Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("host", host.parse().unwrap());
    reqwest::Client::builder()
        .default_headers(headers)
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

pub struct Org {
    slug: String,
    idp: SamlIdp,
    connection: String,
    scim_token: String,
    /// Each person's id, and their e-mail address.
    people: Vec<(String, String)>,
}

/// What a sign-in gave.
#[derive(Clone, Debug)]
pub struct Given {
    pub access: String,
    pub refresh: String,
    pub session: String,
    id_token: String,
    cookie: String,
}

#[derive(Clone)]
pub struct People {
    http: reqwest::Client,
    base: String,
    public: String,
    key: String,
    pub app: (String, String),
    orgs: Vec<Arc<Org>>,
}

fn text(value: &Value, name: &str) -> Option<String> {
    value[name].as_str().map(str::to_owned)
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn in_query(location: &str, name: &str) -> Option<String> {
    let query = location.split_once('?')?.1;
    form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

/// The ID inside a deflated AuthnRequest.
fn request_id(deflated: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(deflated).ok()?;
    let xml = String::from_utf8(miniz_oxide::inflate::decompress_to_vec(&bytes).ok()?).ok()?;
    Some(xml.split(" ID=\"").nth(1)?.split('"').next()?.to_owned())
}

fn header(answer: &reqwest::Response, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

impl People {
    /// An app, once for all seeds.
    pub async fn new(stand: &Stand) -> Self {
        let mut people = Self {
            http: http(&stand.host()),
            base: stand.base(),
            public: stand.line.url.clone(),
            key: stand.platform_key(),
            app: Default::default(),
            orgs: Vec::new(),
        };
        let app = json!({"name": "history", "redirect_uris": [CALLBACK], "post_logout_redirect_uris": [BYE]});
        let made = people.operate(Method::POST, "/apps", Some(app)).await.unwrap();
        people.app = (text(&made, "client_id").unwrap(), text(&made, "client_secret").unwrap());
        people
    }

    /// An administrator's call; none when it did not succeed.
    async fn operate(&self, method: Method, path: &str, body: Option<Value>) -> Option<Value> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let is_done = answer.status().is_success();
        let said = answer.text().await.ok()?;
        is_done.then(|| serde_json::from_str(&said).unwrap_or(Value::Null))
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        self.operate(Method::POST, path, Some(body)).await.unwrap_or_else(|| panic!("{path} makes nothing"))
    }

    /// Orgs and people that no other seed has.
    pub async fn settle(&mut self, seed: u64) {
        self.orgs.clear();
        // One besides, in which nobody is ended.
        for n in 0..=ORGS {
            let org = self.org(format!("h{seed}-{n}")).await;
            self.orgs.push(Arc::new(org));
        }
    }

    async fn org(&self, slug: String) -> Org {
        self.made("/orgs", json!({"slug": slug, "name": "History"})).await;
        let domain = format!("{slug}.example");
        self.made(&format!("/orgs/{slug}/domains"), json!({"name": domain, "trusted": true})).await;
        let email = |n| format!("ada{n}@{domain}");
        let people = (0..PEOPLE).map(|n| Person::new(&email(n), "pw", "Ada", "Lovelace")).collect();
        let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
        let connection = json!({"type": "saml", "name": "Okta", "metadata_xml": idp.metadata_xml()});
        let made = self.made(&format!("/orgs/{slug}/connections"), connection).await;
        let connection = text(&made, "id").unwrap();
        self.made(&format!("/orgs/{slug}/connections/{connection}/enable"), json!({})).await;
        idp.set_sp(ServiceProvider {
            entity_id: text(&made["sp"], "entity_id").unwrap(),
            acs_url: text(&made["sp"], "acs_url").unwrap(),
        });
        let directory = json!({"name": "Okta", "blast_guard": "off"});
        let directory = self.made(&format!("/orgs/{slug}/directories"), directory).await;
        let path = format!("/orgs/{slug}/directories/{}/tokens", text(&directory, "id").unwrap());
        let scim_token = text(&self.made(&path, json!({})).await, "token").unwrap();
        let mut org = Org { slug, idp, connection, scim_token, people: Vec::new() };
        for n in 0..PEOPLE {
            let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": email(n),
                "active": true, "emails": [{"value": email(n), "type": "work", "primary": true}]});
            let made = self.scim(&org, Method::POST, "", body).await.expect("a person");
            org.people.push((text(&made, "id").unwrap(), email(n)));
        }
        org
    }

    async fn scim(&self, org: &Org, method: Method, id: &str, body: Value) -> Option<Value> {
        let url = format!("{}/scim/v2/Users{id}", self.base);
        let request = self.http.request(method, url).bearer_auth(&org.scim_token);
        let request = request.header("content-type", "application/scim+json").body(body.to_string());
        let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    fn of(&self, person: usize) -> (&Org, &(String, String)) {
        let org = &self.orgs[person / PEOPLE];
        (org, &org.people[person % PEOPLE])
    }

    /// The app's request: status and JSON; none when nothing came.
    async fn as_app(&self, path: &str, fields: &[(&str, &str)]) -> Option<(u16, Value)> {
        let request =
            self.http.post(format!("{}{path}", self.base)).basic_auth(&self.app.0, Some(&self.app.1));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(fields));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().await.ok()?).ok()?))
    }

    /// Authorize, ACS, token. None: not signed in.
    pub async fn login(&self, person: usize) -> Option<Given> {
        let (org, (_, email)) = self.of(person);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let query = form(&[
            ("client_id", &self.app.0),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid offline_access"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("organization", &org.slug),
        ]);
        let sent = self.http.get(format!("{}/oauth2/authorize?{query}", self.base)).send().await.ok()?;
        let (location, cookie) = (header(&sent, "location")?, header(&sent, "set-cookie")?);
        let (acs, audience) = (
            format!("{}/saml/{}/acs", self.public, org.connection),
            format!("{}/saml/{}/metadata", self.public, org.connection),
        );
        let request = request_id(&in_query(&location, "SAMLRequest")?)?;
        let params = ResponseParams::new(&acs, &audience, Some(&request), idp_fixtures::now());
        let response = org.idp.response_for(email, &params).ok()?;
        let relay = in_query(&location, "RelayState")?;
        let posted = self
            .http
            .post(format!("{}/saml/{}/acs", self.base, org.connection))
            .header("cookie", cookie.split(';').next()?)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&[("SAMLResponse", &response), ("RelayState", &relay)]));
        let back = posted.send().await.ok()?;
        let cookies = back.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let session = cookies.filter_map(|cookie| cookie.split(';').next()).find(|c| c.contains("session"));
        let cookie = session?.to_owned();
        let code = in_query(&header(&back, "location")?, "code")?;
        let fields = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
        let (_, tokens) = self.as_app("/oauth2/token", &fields).await?;
        let access = text(&tokens, "access_token")?;
        let claims = URL_SAFE_NO_PAD.decode(access.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(Given {
            refresh: text(&tokens, "refresh_token")?,
            id_token: text(&tokens, "id_token")?,
            session: text(&claims, "sid")?,
            access,
            cookie,
        })
    }

    pub async fn introspect(&self, token: &str) -> Outcome {
        match self.as_app("/oauth2/introspect", &[("token", token)]).await {
            Some((200, said)) if said["active"] == true => Outcome::Ok,
            Some((200, said)) if said["active"] == false => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }

    pub async fn userinfo(&self, token: &str) -> Outcome {
        let request = self.http.get(format!("{}/oauth2/userinfo", self.base)).bearer_auth(token);
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(200) => Outcome::Ok,
            Ok(401) => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }

    /// The next access and refresh token, if there are any.
    pub async fn refresh(&self, token: &str) -> (Outcome, Option<(String, String)>) {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        match self.as_app("/oauth2/token", &fields).await {
            Some((200, said)) => {
                let next = text(&said, "access_token").zip(text(&said, "refresh_token"));
                (if next.is_some() { Outcome::Ok } else { Outcome::Unknown }, next)
            }
            Some((400, said)) if said["error"] == "invalid_grant" => (Outcome::Refused, None),
            _ => (Outcome::Unknown, None),
        }
    }

    /// Acknowledged?
    pub async fn deactivate(&self, person: usize) -> bool {
        self.set_active(person, false).await
    }

    /// Tried until it is done: others are to sign in again.
    pub async fn reactivate(&self, person: usize) {
        for _ in 0..100 {
            if self.set_active(person, true).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nobody comes back");
    }

    async fn set_active(&self, person: usize, active: bool) -> bool {
        let (org, (id, _)) = self.of(person);
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {"active": active}}]});
        self.scim(org, Method::PATCH, &format!("/{id}"), body).await.is_some()
    }

    pub async fn revoke_user(&self, person: usize) -> bool {
        let (org, (id, _)) = self.of(person);
        self.operate(Method::POST, &format!("/orgs/{}/users/{id}/revoke", org.slug), None).await.is_some()
    }

    pub async fn revoke_org(&self, org: usize) -> bool {
        let path = format!("/orgs/{}/revoke", self.orgs[org].slug);
        self.operate(Method::POST, &path, None).await.is_some()
    }

    /// One that is ended already is not there, and nobody says that it is.
    pub async fn end_session(&self, person: usize, given: &Given) -> bool {
        let path = format!("/orgs/{}/sessions/{}", self.of(person).0.slug, given.session);
        self.operate(Method::DELETE, &path, None).await.is_some()
    }

    /// The person's own browser signs out, and is sent on.
    pub async fn sign_out(&self, given: &Given) -> bool {
        let query = form(&[("id_token_hint", &given.id_token), ("post_logout_redirect_uri", BYE)]);
        let request = self.http.get(format!("{}/oauth2/logout?{query}", self.base));
        let answer = request.header("cookie", &given.cookie).send().await;
        answer.is_ok_and(|answer| header(&answer, "location").is_some_and(|to| to.starts_with(BYE)))
    }
}
