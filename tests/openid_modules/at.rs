//! Where a module runs: an org, its provider and an app of its own, and the walks between them as the suite sees
//! them: a request, the pages on the way, the app's answer and the tokens.

use crate::house::{
    House, Tenant, VERIFIER, authorize_url,
    walk::{claims, text},
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use idp_fixtures::{Browser, Page};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How the answer comes to the app.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Query,
    FormPost,
}

pub type Answer = BTreeMap<String, String>;

pub struct At {
    pub house: &'static House,
    pub tenant: Tenant,
    mode: Mode,
}

/// The suite's first sign-in and what it left.
pub struct SignedIn {
    pub browser: Browser,
    pub tokens: Value,
    pub id: Value,
}

impl At {
    pub async fn new(house: &'static House, mode: Mode) -> Self {
        Self { house, tenant: house.tenant().await, mode }
    }

    pub fn login(&self) -> String {
        format!("ada@{}", self.tenant.domain)
    }

    /// The suite's request: `openid` alone, the plan's response mode, and `more`.
    pub fn url(&self, more: &[(&str, &str)]) -> String {
        let mut asked = vec![("scope", "openid")];
        if self.mode == Mode::FormPost {
            asked.push(("response_mode", "form_post"));
        }
        asked.extend_from_slice(more);
        authorize_url(self.house, &self.tenant, &asked)
    }

    /// A request without this parameter.
    pub fn without(&self, name: &str) -> String {
        let url = self.url(&[]);
        let (path, query) = url.split_once('?').unwrap();
        let kept: Vec<&str> =
            query.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect();
        format!("{path}?{}", kept.join("&"))
    }

    /// What a page says to the app: by a redirect or by a form, as was asked for, and never in another way.
    pub fn answer(&self, page: &Page) -> Answer {
        let to = &self.tenant.app.redirect_uri;
        let said: Answer = match self.mode {
            Mode::Query => {
                assert_eq!(page.status, 303, "{}", page.body);
                let location = page.header("location").unwrap();
                let query =
                    location.strip_prefix(&format!("{to}?")).unwrap_or_else(|| panic!("to {location}"));
                form_urlencoded::parse(query.as_bytes()).into_owned().collect()
            }
            Mode::FormPost => {
                assert_eq!((page.status, page.header("location")), (200, None), "{}", page.body);
                let form =
                    page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
                assert!(form.post && form.action == *to, "{form:?}");
                form.fields.into_iter().collect()
            }
        };
        // RFC 9207: whose answer it is, always.
        assert_eq!(said["iss"], self.house.base);
        said
    }

    /// Signs in at the provider, whose page is shown, and stops at the answer to the app.
    pub async fn through(&self, browser: &mut Browser, url: &str) -> Answer {
        let page = browser
            .sign_in_until(url, &self.login(), "pw", |p| p.field("SAMLResponse").is_some())
            .await
            .unwrap();
        let given =
            |name| page.field(name).unwrap_or_else(|| panic!("no {name}: {} {}", page.url, page.body));
        let (response, relay) = (given("SAMLResponse"), given("RelayState"));
        let fields = [("SAMLResponse", response.as_str()), ("RelayState", relay.as_str())];
        let acs = self.house.gw.links.saml_acs(self.tenant.connection);
        self.answer(&browser.post_once(&acs, &fields).await.unwrap())
    }

    /// The answer to a request that nobody is asked about.
    pub async fn at_once(&self, browser: &mut Browser, url: &str) -> Answer {
        self.answer(&browser.get_once(url).await.unwrap())
    }

    /// Redeems the code of an answer that carries the suite's own state.
    pub async fn redeem(&self, answer: &Answer) -> Value {
        assert_eq!(answer["state"], "app-state", "{answer:?}");
        let (status, tokens) =
            self.house.as_app(&self.tenant.app, "/oauth2/token", &self.grant(answer)).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    pub fn grant<'a>(&'a self, answer: &'a Answer) -> [(&'a str, &'a str); 4] {
        [
            ("grant_type", "authorization_code"),
            ("code", answer["code"].as_str()),
            ("redirect_uri", self.tenant.app.redirect_uri.as_str()),
            ("code_verifier", VERIFIER),
        ]
    }

    /// A whole sign-in in a browser of its own, its ID token held to what Core 3.1.3.7 says.
    pub async fn sign_in(&self, more: &[(&str, &str)]) -> SignedIn {
        let mut browser = Browser::new().unwrap();
        let tokens = self.redeem(&self.through(&mut browser, &self.url(more)).await).await;
        let id = self.id_token(&tokens, Some("app-nonce")).await;
        SignedIn { browser, tokens, id }
    }

    /// The ID token's claims, once signature, issuer, audience, times and nonce hold.
    pub async fn id_token(&self, tokens: &Value, nonce: Option<&str>) -> Value {
        let jwt = text(tokens, "id_token");
        let header = self.signed(jwt).await;
        assert!(header["kid"].is_string());
        let id = claims(jwt);
        assert_eq!(id["iss"], self.house.base.as_str());
        assert_eq!(id["aud"], json!(self.tenant.app.id));
        let (now, at) = (crate::house::now().secs(), |name: &str| id[name].as_i64().unwrap());
        assert!(at("exp") > now && at("iat") <= now && at("auth_time") <= now, "{id}");
        assert_eq!(id.get("nonce").and_then(Value::as_str), nonce);
        id
    }

    /// The header of a JWT that a key of the JWK Set signed.
    pub async fn signed(&self, jwt: &str) -> Value {
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (input, signature) = jwt.rsplit_once('.').unwrap();
        let header: Value = serde_json::from_slice(&part(input.split_once('.').unwrap().0)).unwrap();
        let asked = self.house.http.get(self.house.url("/oauth2/jwks")).send().await.unwrap();
        let jwks: Value = asked.json().await.unwrap();
        let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
        assert_eq!((&key["alg"], &key["use"]), (&header["alg"], &json!("sig")));
        let member = |name| part(text(key, name));
        let (input, signature) = (input.as_bytes(), part(signature));
        match text(&header, "alg") {
            "ES256" => {
                let point = [vec![4], member("x"), member("y")].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(input, &signature).unwrap();
            }
            "RS256" => RsaPublicKeyComponents { n: member("n"), e: member("e") }
                .verify(&RSA_PKCS1_2048_8192_SHA256, input, &signature)
                .unwrap(),
            other => panic!("signed by {other}"),
        }
        header
    }

    /// What userinfo answers to this request.
    pub async fn userinfo(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let sent = request.send().await.unwrap();
        let kind = sent.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("application/json"), "{kind}");
        (sent.status().as_u16(), sent.json().await.unwrap())
    }

    pub async fn tells(&self, access_token: &str) -> (u16, Value) {
        self.userinfo(self.house.http.get(self.house.url("/oauth2/userinfo")).bearer_auth(access_token)).await
    }

    pub async fn set(&self, change: Value) {
        let path = format!("/apps/{}", self.tenant.app.id);
        let (status, said) = self.house.api("PATCH", &self.house.platform_key, &path, Some(change)).await;
        assert_eq!(status, 200, "{said}");
    }
}
