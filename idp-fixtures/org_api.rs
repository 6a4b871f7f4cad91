//! What a black-box client asks of the gateway over plain HTTP: SCIM as Okta and Entra speak it, and the
//! org's own administration by its key. Every call comes back as an [`Exchange`]: what was sent, what
//! was answered, how long it took. RFC 7644; the paths and shapes are the public contract's.

use crate::{FixtureError, Person, instrument::http_error};
use openidconnect::url::form_urlencoded::byte_serialize;
use reqwest::{Method, header};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A page shows this much of a body; more helps nobody.
const SHOWN_CHARS_MAX: usize = 6_000;
/// A receipt's last lines are written after the answer: looked for this often, this long.
const RECEIPT_LOOKS: usize = 40;
const RECEIPT_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Whose ways the directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// PATCH without a path, `active` a boolean; signs in by SAML.
    Okta,
    /// `Replace` with a path, `active` the text `"False"`; signs in by OpenID Connect.
    Entra,
}

/// One customer of the demo.
#[derive(Clone, Debug)]
pub struct DeskOrg {
    pub slug: String,
    /// `org_…`
    pub id: String,
    pub name: String,
    /// As a person calls it: "Okta (a stand-in)".
    pub idp_name: String,
    pub vendor: Vendor,
    /// `con_…`: the connection that its people sign in by.
    pub connection_id: String,
    pub org_key: String,
    pub scim_token: String,
    pub person: Person,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) url: String,
    /// The credential's beginning, never the whole.
    pub(crate) credential: String,
    pub(crate) sent: Option<Value>,
    pub(crate) status: u16,
    pub(crate) answer: String,
    pub(crate) millis: f64,
}

impl Exchange {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.answer).unwrap_or(Value::Null)
    }
    pub(crate) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
    /// As one would read it off the wire.
    pub(crate) fn request_text(&self) -> String {
        let head = format!("{} {}\nAuthorization: Bearer {}", self.method, self.url, self.credential);
        self.sent.as_ref().map_or_else(|| head.clone(), |body| format!("{head}\n\n{body:#}"))
    }
    pub(crate) fn answer_text(&self) -> String {
        let text = match self.json() {
            Value::Null => self.answer.clone(),
            json => format!("{json:#}"),
        };
        text.chars().take(SHOWN_CHARS_MAX).collect()
    }
    /// For an error's sentence.
    pub(crate) fn unexpected(&self, wanted: &str) -> String {
        let said: String = self.answer.chars().take(300).collect();
        format!("{} {} answered {}; wanted {wanted}: {said}", self.method, self.url, self.status)
    }
}

/// A request about to be made.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) bearer: &'a str,
    pub(crate) media: &'static str,
    pub(crate) body: Option<Value>,
    /// Sent as `X-Request-Id` when given.
    pub(crate) request_id: Option<&'a str>,
}

impl Ask<'_> {
    /// Errors: `Http` when nothing answers.
    pub(crate) async fn send(self, http: &reqwest::Client) -> Result<Exchange, FixtureError> {
        let mut request = http
            .request(self.method.clone(), &self.url)
            .bearer_auth(self.bearer)
            .header(header::ACCEPT, self.media);
        if let Some(body) = &self.body {
            request = request.header(header::CONTENT_TYPE, self.media).body(body.to_string());
        }
        if let Some(id) = self.request_id {
            request = request.header("X-Request-Id", id);
        }
        let failed = |e: &reqwest::Error| http_error(&self.url, e);
        let began = Instant::now();
        let answer = request.send().await.map_err(|e| failed(&e))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|e| failed(&e))?;
        let millis = began.elapsed().as_secs_f64() * 1_000.0;
        let shown: String = self.bearer.chars().take(12).collect();
        Ok(Exchange {
            method: self.method.to_string(),
            url: self.url,
            credential: format!("{shown}…"),
            sent: self.body,
            status,
            answer: text,
            millis,
        })
    }
}

/// A person as the directory's SCIM client finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) active: bool,
}

/// The gateway as one org sees it.
#[derive(Clone, Copy)]
pub(crate) struct OrgApi<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) gateway_url: &'a str,
    pub(crate) org: &'a DeskOrg,
}

impl OrgApi<'_> {
    pub(crate) async fn scim(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Exchange, FixtureError> {
        let ask = Ask {
            method,
            url: format!("{}/scim/v2{path}", self.gateway_url),
            bearer: &self.org.scim_token,
            media: "application/scim+json",
            body,
            request_id: None,
        };
        ask.send(self.http).await
    }

    /// `path` begins behind `/api/v1/orgs/{slug}`.
    pub(crate) async fn get(&self, path: &str) -> Result<Exchange, FixtureError> {
        self.api(Method::GET, path, None).await
    }

    pub(crate) async fn api(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Exchange, FixtureError> {
        let ask = Ask {
            method,
            url: format!("{}/api/v1/orgs/{}{path}", self.gateway_url, self.org.slug),
            bearer: &self.org.org_key,
            media: "application/json",
            body,
            request_id: None,
        };
        ask.send(self.http).await
    }

    /// The org's person by `userName eq`, as every directory looks first.
    pub(crate) async fn find(&self) -> Result<(Option<Found>, Exchange), FixtureError> {
        let filter = format!("userName eq {}", json!(self.org.person.email));
        let filter: String = byte_serialize(filter.as_bytes()).collect();
        let page = match self.org.vendor {
            Vendor::Okta => "&startIndex=1&count=100",
            Vendor::Entra => "",
        };
        let said = self.scim(Method::GET, &format!("/Users?filter={filter}{page}"), None).await?;
        let found = said.json().pointer("/Resources/0").and_then(|user| {
            let active = user.get("active")?.as_bool()?;
            Some(Found { id: user.get("id")?.as_str()?.to_owned(), active })
        });
        Ok((found, said))
    }

    /// Provisions the org's person.
    pub(crate) async fn create(&self) -> Result<Exchange, FixtureError> {
        let person = &self.org.person;
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": person.email,
            "name": {"givenName": person.given_name, "familyName": person.family_name},
            "displayName": person.display_name(),
            "emails": [{"primary": true, "value": person.email, "type": "work"}],
            "active": true,
        });
        self.scim(Method::POST, "/Users", Some(body)).await
    }

    /// Leaving and coming back, in the vendor's own shape.
    pub(crate) async fn set_active(&self, id: &str, active: bool) -> Result<Exchange, FixtureError> {
        self.scim(Method::PATCH, &format!("/Users/{id}"), Some(patch(self.org.vendor, active))).await
    }

    /// The newest receipt, once its last lines are written (or what there is after two seconds).
    pub(crate) async fn receipt(&self, user: &str) -> Result<(Option<Value>, Exchange), FixtureError> {
        let path = format!("/users/{user}/deprovisionings");
        let mut said = self.get(&path).await?;
        for _ in 0..RECEIPT_LOOKS {
            let newest = said.json().pointer("/data/0").cloned();
            let complete =
                newest.as_ref().is_some_and(|r| r.get("committed_at").is_some_and(|v| !v.is_null()));
            if complete || !said.ok() {
                return Ok((newest, said));
            }
            tokio::time::sleep(RECEIPT_PAUSE).await;
            said = self.get(&path).await?;
        }
        Ok((said.json().pointer("/data/0").cloned(), said))
    }

    /// The newest events of the org's record.
    pub(crate) async fn audit(&self, limit: u32) -> Result<(Vec<Value>, Exchange), FixtureError> {
        let said = self.get(&format!("/audit/events?limit={limit}")).await?;
        let events = said.json().get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok((events, said))
    }
}

fn patch(vendor: Vendor, active: bool) -> Value {
    let operation = match vendor {
        Vendor::Okta => json!({"op": "replace", "value": {"active": active}}),
        Vendor::Entra => {
            json!({"op": "Replace", "path": "active", "value": if active { "True" } else { "False" }})
        }
    };
    json!({"schemas": [PATCH_OP], "Operations": [operation]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_patches_in_its_own_shape() {
        assert_eq!(
            patch(Vendor::Okta, false)["Operations"],
            json!([{"op": "replace", "value": {"active": false}}])
        );
        assert_eq!(
            patch(Vendor::Entra, false)["Operations"],
            json!([{"op": "Replace", "path": "active", "value": "False"}])
        );
    }

    #[test]
    fn what_is_shown_of_an_exchange_holds_the_beginning_of_the_credential_alone() {
        let said = Exchange {
            method: "PATCH".into(),
            url: "http://x/".into(),
            credential: "vst_scim_abc…".into(),
            sent: Some(json!({"a": 1})),
            status: 200,
            answer: "{\"b\":2}".into(),
            millis: 1.5,
        };
        assert_eq!(
            said.request_text(),
            "PATCH http://x/\nAuthorization: Bearer vst_scim_abc…\n\n{\n  \"a\": 1\n}"
        );
        assert_eq!(said.answer_text(), "{\n  \"b\": 2\n}");
        assert!(said.ok());
    }
}
