//! A browser at an app behind a proxy: what the proxy would send here of `/_vestibule/…`, with the cookies of the
//! app's own host, and the sign-in at the issuer between.

use super::{House, Tenant};
use idp_fixtures::{Browser, Page};
use reqwest::{
    Response,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const FRONT: &str = "https://desk.example";

pub struct Desk {
    house: &'static House,
    /// The app's id, and its secret.
    pub app: String,
    pub secret: String,
    /// As the proxy names it in `Host`.
    pub host: String,
    /// The cookies of the app's host.
    pub jar: BTreeMap<String, String>,
    /// The same browser at the issuer.
    pub issuer: Browser,
}

/// What came back.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    async fn of(answer: Response) -> Self {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers, body: answer.text().await.unwrap() }
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }
    /// Status, and the code of a refusal.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.header("x-vestibule-code"))
    }
}

/// An app with these members besides, in a browser that has not been there.
pub async fn desk_with(house: &'static House, members: Value) -> Desk {
    let mut app = json!({"name": "Desk", "redirect_uris": [format!("{FRONT}/_vestibule/callback")]});
    app.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(app)).await;
    assert_eq!(status, 201, "{made}");
    let (app, host) = (made["client_id"].as_str().unwrap().to_owned(), FRONT["https://".len()..].to_owned());
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    Desk { house, app, secret, host, jar: BTreeMap::new(), issuer: Browser::new().unwrap() }
}

pub async fn desk(house: &'static House) -> Desk {
    desk_with(house, json!({})).await
}

impl Desk {
    /// Another browser at the same app.
    pub fn other(&self) -> Self {
        let (app, secret, host) = (self.app.clone(), self.secret.clone(), self.host.clone());
        Self { house: self.house, app, secret, host, jar: BTreeMap::new(), issuer: Browser::new().unwrap() }
    }

    pub fn cookies(&self) -> String {
        self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// `path` is what stands behind `/_vestibule/`.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Seen {
        let url = self.house.url(&format!("/proxy/{}/{path}", self.app));
        let seen = self.send(method, &url, headers).await;
        for line in seen.set_cookies() {
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() || line.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        seen
    }

    async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Seen {
        let mut request = self.house.http.request(method.parse().unwrap(), url).header("host", &self.host);
        if !self.jar.is_empty() {
            request = request.header("cookie", self.cookies());
        }
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Seen::of(request.send().await.unwrap()).await
    }

    /// What the proxy asks before it lets this browser's request on.
    pub async fn forward(&self, headers: &[(&str, &str)]) -> Seen {
        self.forward_at(&format!("/forward-auth?app={}", self.app), headers).await
    }

    pub async fn forward_at(&self, path: &str, headers: &[(&str, &str)]) -> Seen {
        self.send("GET", &self.house.url(path), headers).await
    }

    /// Begins a sign-in; the issuer's address that it leads to.
    pub async fn begin(&mut self, query: &str) -> String {
        let seen = self.ask("GET", &format!("sign-in?{query}"), &[]).await;
        assert_eq!(seen.status, 303, "{}", seen.body);
        seen.header("location").to_owned()
    }

    /// Signs in at the issuer; the query that it sends back to the callback.
    pub async fn at_the_issuer(&mut self, tenant: &Tenant, url: &str) -> String {
        let login = format!("ada@{}", tenant.domain);
        let stop = |page: &Page| page.field("SAMLResponse").is_some();
        let page = self.issuer.sign_in_until(url, &login, "pw", stop).await.unwrap();
        let fields = ["SAMLResponse", "RelayState"].map(|name| (name, page.field(name).unwrap()));
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let acs = self.house.gw.links.saml_acs(tenant.connection);
        let back = self.issuer.post_once(&acs, &fields).await.unwrap();
        let location = back.header("location").unwrap_or_else(|| panic!("{} {}", back.status, back.body));
        assert!(location.starts_with(&format!("https://{}/_vestibule/callback?", self.host)), "{location}");
        location.split_once('?').unwrap().1.to_owned()
    }

    /// The whole of it, and back to `to`.
    pub async fn sign_in(&mut self, tenant: &Tenant, to: &str) -> Seen {
        let url = self.begin(&format!("organization={}&to={to}", tenant.slug)).await;
        let query = self.at_the_issuer(tenant, &url).await;
        let seen = self.ask("GET", &format!("callback?{query}"), &[]).await;
        assert_eq!(seen.status, 303, "{}", seen.body);
        seen
    }

    /// The pass that it has.
    pub fn pass(&self) -> &str {
        &self.jar["__Host-vestibule-pass"]
    }
}
