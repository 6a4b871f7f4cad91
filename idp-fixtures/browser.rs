//! A browser without a screen: cookies, redirects followed by hand, forms found and submitted. It knows
//! nothing of SAML or OpenID Connect: [`Browser::sign_in`] fills in what the pages ask for until none asks.
//! It runs no script; a page that would post itself on is recognised by its form with nothing to fill in.

use crate::{
    FixtureError,
    cookie_jar::{Jar, Journey, StoredCookie},
    html_form::{self, Form},
    instrument::{http_client, http_error},
};
use openidconnect::url::{Url, form_urlencoded};
use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, ORIGIN, SET_COOKIE};

/// As many as browsers follow.
const REDIRECTS_MAX: usize = 20;
/// Pages of one sign-in: app, chooser, login form, the page that posts itself on, and as many again.
const PAGES_MAX: usize = 8;

/// What came back in the end.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    pub fn forms(&self) -> Vec<Form> {
        html_form::forms(&self.body)
    }
    /// The first field of this name in any form.
    pub fn field(&self, name: &str) -> Option<String> {
        self.forms().iter().find_map(|f| f.field(name).map(str::to_owned))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
    /// A parameter of this page's address.
    pub fn query(&self, name: &str) -> Option<String> {
        let url = Url::parse(&self.url).ok()?;
        url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }
    fn unexpected(self, wanted: &str) -> FixtureError {
        let body = self.body.chars().take(600).collect();
        FixtureError::Unexpected { url: self.url, status: self.status, wanted: wanted.to_owned(), body }
    }
}

pub struct Browser {
    client: reqwest::Client,
    jar: Jar,
    /// The page on screen, which is what SameSite and Origin are about.
    shown: Option<Url>,
    history: Vec<String>,
    stop_before: Option<String>,
}

/// One request to be made.
struct Visit {
    url: Url,
    /// Fields of a POST; `None` is a GET.
    form: Option<Vec<(String, String)>>,
}

impl Browser {
    /// An empty jar and a blank page.
    ///
    /// Errors: `Http` when no client can be made.
    pub fn new() -> Result<Self, FixtureError> {
        Ok(Self {
            client: http_client()?,
            jar: Jar::default(),
            shown: None,
            history: Vec::new(),
            stop_before: None,
        })
    }
    /// Every address asked for, in order, redirects included: `POST http://…` or `GET http://…`.
    pub fn history(&self) -> &[String] {
        &self.history
    }
    /// A redirect to an address that begins so is not followed: it is what comes back. A client that
    /// has no server of its own (RFC 8252) takes its code from there.
    pub fn stop_before(&mut self, address: &str) {
        self.stop_before = Some(address.to_owned());
    }
    /// The cookies that the host and port of `url` have set.
    pub fn cookies(&self, url: &str) -> Vec<StoredCookie> {
        Url::parse(url).map_or_else(|_| Vec::new(), |u| self.jar.at(&u).cloned().collect())
    }
    /// Writes a cookie as if `url` had set it; `line` is a Set-Cookie value.
    pub fn set_cookie(&mut self, url: &str, line: &str) {
        if let Ok(url) = Url::parse(url) {
            self.jar.take(&url, line);
        }
    }
    /// Types an address and follows where it leads.
    pub async fn get(&mut self, url: &str) -> Result<Page, FixtureError> {
        self.shown = None;
        self.follow(Visit { url: parse(url)?, form: None }).await
    }
    /// Posts `fields` from the page on screen and follows where that leads.
    pub async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Result<Page, FixtureError> {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.follow(Visit { url: parse(url)?, form: Some(fields) }).await
    }
    /// Types an address and stops at the first answer, redirect or not.
    pub async fn get_once(&mut self, url: &str) -> Result<Page, FixtureError> {
        self.shown = None;
        self.ask(&Visit { url: parse(url)?, form: None }).await
    }
    /// Posts and stops at the first answer.
    pub async fn post_once(&mut self, url: &str, fields: &[(&str, &str)]) -> Result<Page, FixtureError> {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.ask(&Visit { url: parse(url)?, form: Some(fields) }).await
    }
    /// Submits a form of `page`, its fields changed by `filled` (a name it lacks is added).
    pub async fn submit(
        &mut self,
        page: &Page,
        form: &Form,
        filled: &[(&str, &str)],
    ) -> Result<Page, FixtureError> {
        let mut fields = form.fields.clone();
        for (name, value) in filled {
            fields.retain(|(n, _)| n != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut url = parse(&page.url)?;
        if !form.action.is_empty() {
            url = url.join(&form.action).map_err(|e| not_an_address(&form.action, &e.to_string()))?;
        }
        if form.post {
            return self.follow(Visit { url, form: Some(fields) }).await;
        }
        url.query_pairs_mut().clear().extend_pairs(fields);
        self.follow(Visit { url, form: None }).await
    }

    /// Starts at `start` and does what each page asks: an email where one is asked for, login and
    /// password where a password is, the button where nothing is. Ends at the first page that asks
    /// nothing, the app's, or at one that refuses.
    ///
    /// Errors: `Http`; `Unexpected` when the pages go in circles.
    pub async fn sign_in(&mut self, start: &str, login: &str, password: &str) -> Result<Page, FixtureError> {
        self.sign_in_until(start, login, password, |_| false).await
    }

    /// The same over a SAML connection: the walk must pass a form that carries a `SAMLResponse`.
    ///
    /// Errors: also `Unexpected` when it never came.
    pub async fn sign_in_via_saml(
        &mut self,
        start: &str,
        login: &str,
        password: &str,
    ) -> Result<Page, FixtureError> {
        let page = self.sign_in_until(start, login, password, carries_saml_response).await?;
        let carrier = page.forms().into_iter().find(|f| f.field("SAMLResponse").is_some());
        match carrier {
            Some(form) => self.submit(&page, &form, &[]).await,
            None => Err(page.unexpected("a form with SAMLResponse")),
        }
    }

    /// The same, but stops before the first page that `stop` names is answered: to take a
    /// `SAMLResponse` off the wire, say.
    pub async fn sign_in_until(
        &mut self,
        start: &str,
        login: &str,
        password: &str,
        stop: impl Fn(&Page) -> bool,
    ) -> Result<Page, FixtureError> {
        let mut page = self.get(start).await?;
        for _ in 0..PAGES_MAX {
            let Some(form) = asks(&page).filter(|_| !stop(&page)) else { return Ok(page) };
            page = match (form.visible_of_type("password"), form.visible.first()) {
                (Some(field), _) => {
                    let name =
                        form.visible.iter().find(|(n, _)| n != field).map_or("login", |(n, _)| n.as_str());
                    self.submit(&page, &form, &[(name, login), (field, password)]).await?
                }
                (None, Some((name, _))) => self.submit(&page, &form, &[(name.as_str(), login)]).await?,
                (None, None) => self.submit(&page, &form, &[]).await?,
            };
        }
        Err(page.unexpected("a page that asks for nothing more"))
    }

    async fn follow(&mut self, mut visit: Visit) -> Result<Page, FixtureError> {
        for _ in 0..=REDIRECTS_MAX {
            let page = self.ask(&visit).await?;
            let to = if matches!(page.status, 301 | 302 | 303 | 307 | 308) {
                page.header("location")
            } else {
                None
            };
            let Some(to) = to else {
                self.shown = Some(visit.url);
                return Ok(page);
            };
            let url = visit.url.join(to).map_err(|e| not_an_address(to, &e.to_string()))?;
            if self.stop_before.as_ref().is_some_and(|stop| url.as_str().starts_with(stop)) {
                return Ok(page);
            }
            // Only 307 and 308 repeat a POST; the others turn it into a GET, as every browser does.
            let form = if matches!(page.status, 307 | 308) { visit.form } else { None };
            visit = Visit { url, form };
        }
        Err(not_an_address(visit.url.as_str(), "more than 20 redirects"))
    }

    async fn ask(&mut self, visit: &Visit) -> Result<Page, FixtureError> {
        let Visit { url, form } = visit;
        let method = if form.is_some() { "POST" } else { "GET" };
        self.history.push(format!("{method} {url}"));
        let mut request = match form {
            None => self.client.get(url.clone()),
            Some(fields) => {
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                let request = self.client.post(url.clone()).body(body);
                let origin =
                    self.shown.as_ref().map_or("null".to_owned(), |u| u.origin().ascii_serialization());
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header(ORIGIN, origin)
            }
        };
        let cross_site = self.shown.as_ref().is_some_and(|from| from.host_str() != url.host_str());
        if let Some(cookies) = self.jar.header(url, Journey { cross_site, post: form.is_some() }) {
            request = request.header(COOKIE, cookies);
        }
        let failed = |e: &reqwest::Error| http_error(url.as_str(), e);
        let answer = request.header(ACCEPT, "text/html").send().await.map_err(|e| failed(&e))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for line in headers.get_all(SET_COOKIE) {
            self.jar.take(url, line.to_str().unwrap_or_default());
        }
        let body = answer.text().await.map_err(|e| failed(&e))?;
        Ok(Page { url: url.to_string(), status, headers, body })
    }
}

fn carries_saml_response(page: &Page) -> bool {
    page.field("SAMLResponse").is_some()
}

/// The form a person would have to deal with: a page that failed, and one whose forms only sign out or
/// carry on elsewhere (marked `data-idle`), ask for nothing.
fn asks(page: &Page) -> Option<Form> {
    if page.status >= 400 || page.body.contains("data-idle") {
        return None;
    }
    page.forms().into_iter().find(|f| f.post || !f.visible.is_empty())
}

fn parse(url: &str) -> Result<Url, FixtureError> {
    Url::parse(url).map_err(|e| not_an_address(url, &e.to_string()))
}

fn not_an_address(url: &str, reason: &str) -> FixtureError {
    FixtureError::Http { url: url.to_owned(), reason: reason.to_owned() }
}
