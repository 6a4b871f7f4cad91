//! What a security reviewer tries, over the wire and with nothing but public addresses: a sign-in is
//! begun in earnest, held before the identity provider's answer reaches the gateway, and another answer
//! is sent in its place, from the same browser with the same cookies.

use crate::{
    Browser, FixtureError, Forgery, Page, ResponseParams, SamlIdp, evil,
    instrument::now,
    org_api::{Ask, DeskOrg, Exchange},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use openidconnect::url::form_urlencoded::byte_serialize;
use reqwest::Method;
use serde_json::Value;
use std::time::Instant;

/// Both requests of a comparison carry this id, so that their answers may be the same to the byte.
const SAME_REQUEST_ID: &str = "the-same-request-id";
/// No org has this slug.
const UNKNOWN_SLUG: &str = "no-such-org-anywhere";

/// Where an app's sign-in begins for somebody.
pub(crate) fn sign_in_url(app_url: &str, email: &str) -> String {
    format!("{app_url}/sign-in?email={}", byte_serialize(email.as_bytes()).collect::<String>())
}

/// A sign-in whose answer has not been sent yet.
pub(crate) struct Held {
    browser: Browser,
    app_url: String,
    acs_url: String,
    relay_state: String,
    /// The identity provider's honest answer.
    pub(crate) honest: String,
    request_id: String,
    audience: String,
}

/// What the gateway said to an answer.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) status: u16,
    /// `X-Vestibule-Code`: why not.
    pub(crate) code: Option<String>,
    /// `X-Request-Id`: the reference on the page.
    pub(crate) reference: Option<String>,
    pub(crate) millis: f64,
    /// Whom the app takes the browser for, when the answer was accepted.
    pub(crate) signed_in_as: Option<String>,
}

impl Verdict {
    /// Sent on to the app with a code.
    pub(crate) fn accepted(&self) -> bool {
        (200..400).contains(&self.status)
    }
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.status, self.code.as_deref().unwrap_or("(no code)"))
    }
}

fn unexpected(page: Page, wanted: &str) -> FixtureError {
    let body = page.body.chars().take(600).collect();
    FixtureError::Unexpected { url: page.url, status: page.status, wanted: wanted.to_owned(), body }
}

/// Begins a sign-in at the app as the org's person and stops before the answer is sent.
///
/// Errors: `Http`; `Unexpected` when no SAML answer comes.
pub(crate) async fn hold(app_url: &str, org: &DeskOrg) -> Result<Held, FixtureError> {
    let mut browser = Browser::new()?;
    let (start, person) = (sign_in_url(app_url, &org.person.email), &org.person);
    let carries = |page: &Page| page.field("SAMLResponse").is_some();
    let page = browser.sign_in_until(&start, &person.login, &person.password, carries).await?;
    let Some(form) = page.forms().into_iter().find(|f| f.field("SAMLResponse").is_some()) else {
        return Err(unexpected(page, "a form with SAMLResponse"));
    };
    let honest = form.field("SAMLResponse").unwrap_or_default().to_owned();
    let relay_state = form.field("RelayState").unwrap_or_default().to_owned();
    let Some((request_id, audience)) = what_it_answers(&honest) else {
        return Err(unexpected(page, "a Response with InResponseTo and Audience"));
    };
    let app_url = app_url.to_owned();
    Ok(Held { browser, app_url, acs_url: form.action, relay_state, honest, request_id, audience })
}

fn what_it_answers(form_value: &str) -> Option<(String, String)> {
    let xml = String::from_utf8(STANDARD.decode(form_value).ok()?).ok()?;
    let document = roxmltree::Document::parse(&xml).ok()?;
    let request_id = document.root_element().attribute("InResponseTo")?.to_owned();
    let audience = document.descendants().find(|n| n.tag_name().name() == "Audience")?.text()?.to_owned();
    Some((request_id, audience))
}

impl Held {
    /// The forgery that fits this very sign-in. `login` is the attacker's own account.
    pub(crate) fn forge(
        &self,
        idp: &SamlIdp,
        forgery: Forgery,
        login: &str,
        victim: &str,
    ) -> Result<String, FixtureError> {
        let params = ResponseParams::new(&self.acs_url, &self.audience, Some(&self.request_id), now());
        evil::forge(idp, forgery, login, victim, &params)
    }

    /// Posts an answer as this browser would.
    pub(crate) async fn send(&mut self, response: &str) -> Result<Verdict, FixtureError> {
        let fields = [("SAMLResponse", response), ("RelayState", self.relay_state.as_str())];
        let began = Instant::now();
        let page = self.browser.post_once(&self.acs_url, &fields).await?;
        let millis = began.elapsed().as_secs_f64() * 1_000.0;
        let header = |name: &str| page.header(name).map(str::to_owned);
        let signed_in_as = match header("location") {
            Some(to) => self.taken_for(&to).await?,
            None => None,
        };
        Ok(Verdict {
            status: page.status,
            code: header("x-vestibule-code"),
            reference: header("x-request-id"),
            millis,
            signed_in_as,
        })
    }

    /// Goes on to the app and asks it.
    async fn taken_for(&mut self, location: &str) -> Result<Option<String>, FixtureError> {
        self.browser.get(location).await?;
        let page = self.browser.get(&format!("{}/session.json", self.app_url)).await?;
        let session: Value = serde_json::from_str(&page.body).unwrap_or_default();
        Ok(session.pointer("/id_token/email").and_then(Value::as_str).map(str::to_owned))
    }
}

/// Whom the forgeries are after: an account the attacker does not have, at the same company.
pub(crate) fn victim(org: &DeskOrg) -> String {
    let domain = org.person.email.rsplit_once('@').map_or("", |(_, domain)| domain);
    format!("ceo@{domain}")
}

/// One org's key at another org, and at an org that does not exist.
pub(crate) async fn foreign_key(
    http: &reqwest::Client,
    gateway_url: &str,
    key_of: &DeskOrg,
    at: &DeskOrg,
) -> Result<(Exchange, Exchange), FixtureError> {
    let ask = |slug: &str| Ask {
        method: Method::GET,
        url: format!("{gateway_url}/api/v1/orgs/{slug}/users"),
        bearer: &key_of.org_key,
        media: "application/json",
        body: None,
        request_id: Some(SAME_REQUEST_ID),
    };
    let theirs = ask(&at.slug).send(http).await?;
    let nobodys = ask(UNKNOWN_SLUG).send(http).await?;
    Ok((theirs, nobodys))
}

/// 404, and to the byte what an unknown org gives.
pub(crate) fn tells_nothing(theirs: &Exchange, nobodys: &Exchange) -> bool {
    theirs.status == 404 && (theirs.status, &theirs.answer) == (nobodys.status, &nobodys.answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Person, SamlIdpSettings, ServiceProvider};

    #[tokio::test]
    async fn a_forgery_answers_the_very_request_that_was_held() {
        let people = vec![Person::new("ada@acme.example", "pw", "Ada", "L")];
        let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
        let (acs, entity) = ("http://localhost:1/saml/con_1/acs", "http://localhost:1/saml/con_1/metadata");
        idp.set_sp(ServiceProvider { entity_id: entity.into(), acs_url: acs.into() });
        let params = ResponseParams::new(acs, entity, Some("_request"), now());
        let honest = idp.response_for("ada@acme.example", &params).unwrap();
        assert_eq!(what_it_answers(&honest), Some(("_request".into(), entity.into())));
        let held = Held {
            browser: Browser::new().unwrap(),
            app_url: "http://localhost:1".into(),
            acs_url: acs.into(),
            relay_state: "r".into(),
            honest,
            request_id: "_request".into(),
            audience: entity.into(),
        };
        let forged = held.forge(&idp, Forgery::Unsigned, "ada@acme.example", "ceo@acme.example").unwrap();
        assert_eq!(what_it_answers(&forged), Some(("_request".into(), entity.into())));
        let xml = String::from_utf8(STANDARD.decode(&forged).unwrap()).unwrap();
        assert!(xml.contains("ceo@acme.example") && !xml.contains("SignatureValue"));
    }

    #[test]
    fn an_answer_that_differs_from_an_unknown_orgs_tells_something() {
        let said = |status, answer: &str| Exchange {
            method: "GET".into(),
            url: String::new(),
            credential: String::new(),
            sent: None,
            status,
            answer: answer.into(),
            millis: 0.0,
        };
        assert!(tells_nothing(&said(404, "a"), &said(404, "a")));
        assert!(!tells_nothing(&said(404, "a"), &said(404, "b")));
        assert!(!tells_nothing(&said(403, "a"), &said(404, "a")));
        assert!(!tells_nothing(&said(403, "a"), &said(403, "a")));
    }
}
