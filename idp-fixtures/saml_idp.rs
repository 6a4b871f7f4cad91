//! A SAML identity provider that looks like Okta from outside: metadata, single sign-on by the Redirect
//! and the POST binding, a login form, an answer that posts itself to the assertion consumer service.
//! One app per provider, set up by [`SamlIdp::set_sp`], because Okta gives every app its own entity id.

use crate::{
    FixtureError, Person, Running, authn_request as request, instrument,
    pages::{self, LoginPage},
    people::{People, stable_id},
    saml_response::{self, PROTOCOL, ResponseParams, Signer, attribute},
    server,
    signing::SigningKey,
};
use actix_web::{HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::sync::{Arc, PoisonError, RwLock};

const NO_PASSIVE: &str = "urn:oasis:names:tc:SAML:2.0:status:NoPassive";

/// The app at the identity provider: what an administrator types into Okta's SAML settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceProvider {
    /// "Audience URI (SP Entity ID)".
    pub entity_id: String,
    /// "Single sign-on URL".
    pub acs_url: String,
}

#[derive(Clone, Debug, Default)]
pub struct SamlIdpSettings {
    /// 0: any free port.
    pub listen_port: u16,
    /// `None`: one in Okta's form, different for each port.
    pub entity_id: Option<String>,
    pub people: Vec<Person>,
}

pub struct SamlIdp {
    running: Running,
    idp: Arc<Idp>,
}

struct Idp {
    sso_url: String,
    entity_id: String,
    name: String,
    people: People,
    key: SigningKey,
    sp: RwLock<Option<ServiceProvider>>,
}

impl SamlIdp {
    /// Makes a key, opens the port, answers from now on.
    pub async fn start(settings: SamlIdpSettings) -> Result<Self, FixtureError> {
        let bound = server::bind(settings.listen_port)?;
        let entity_id = settings.entity_id.unwrap_or_else(|| {
            let tail: String = stable_id("okta", &bound.base_url)
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(17)
                .collect();
            format!("http://www.okta.com/exk{tail}")
        });
        let idp = Arc::new(Idp {
            sso_url: format!("{}/sso", bound.base_url),
            name: "A stand-in for Okta".to_owned(),
            people: People::new(settings.people),
            key: SigningKey::made(&entity_id).await?,
            sp: RwLock::new(None),
            entity_id,
        });
        let shared = web::Data::from(Arc::clone(&idp));
        let running = bound.serve(move |config| {
            config
                .app_data(shared.clone())
                .configure(pages::assets)
                .route("/metadata", web::get().to(metadata))
                .route("/sso", web::get().to(sso_redirect))
                .route("/sso", web::post().to(sso_post))
                .route("/start", web::get().to(unsolicited))
                .route("/sign-in", web::post().to(sign_in));
        })?;
        Ok(Self { running, idp })
    }

    pub fn base_url(&self) -> &str {
        self.running.base_url()
    }
    pub fn metadata_url(&self) -> String {
        format!("{}/metadata", self.base_url())
    }
    pub fn sso_url(&self) -> &str {
        &self.idp.sso_url
    }
    pub fn entity_id(&self) -> &str {
        &self.idp.entity_id
    }
    /// The document that `/metadata` serves.
    pub fn metadata_xml(&self) -> String {
        self.idp.metadata()
    }
    pub fn certificate_pem(&self) -> String {
        self.idp.key.certificate_pem()
    }
    /// Sets the app up; until then every sign-in is refused.
    pub fn set_sp(&self, sp: ServiceProvider) {
        *self.idp.sp.write().unwrap_or_else(PoisonError::into_inner) = Some(sp);
    }
    /// Adds a person, or changes the one with the same login.
    pub fn put_person(&self, person: Person) {
        self.idp.people.put(person);
    }
    pub(crate) fn key(&self) -> &SigningKey {
        &self.idp.key
    }
    pub(crate) fn person(&self, login: &str) -> Result<Person, FixtureError> {
        self.idp.people.find(login).ok_or_else(|| FixtureError::UnknownPerson(login.to_owned()))
    }
    /// The Response this provider would post for `login`, as XML.
    ///
    /// Errors: `UnknownPerson`; `Key` when signing fails.
    pub fn response_xml(&self, login: &str, params: &ResponseParams) -> Result<String, FixtureError> {
        self.idp.response(&self.person(login)?, params)
    }
    /// The same as the form value `SAMLResponse`: base64 of the XML.
    pub fn response_for(&self, login: &str, params: &ResponseParams) -> Result<String, FixtureError> {
        Ok(STANDARD.encode(self.response_xml(login, params)?))
    }
}

impl Idp {
    fn sp(&self) -> Option<ServiceProvider> {
        self.sp.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn response(&self, person: &Person, params: &ResponseParams) -> Result<String, FixtureError> {
        let signer = Signer { key: &self.key, shown: &self.key };
        saml_response::write(&self.entity_id, person, params, signer)
    }

    fn metadata(&self) -> String {
        let sso = attribute(&self.sso_url);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><md:EntityDescriptor entityID=\"{}\" \
             xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\"><md:IDPSSODescriptor WantAuthnRequestsSigned=\"false\" \
             protocolSupportEnumeration=\"{PROTOCOL}\"><md:KeyDescriptor use=\"signing\">\
             <ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data><ds:X509Certificate>{}\
             </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
             <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>\
             <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{sso}\"/>\
             <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{sso}\"/>\
             </md:IDPSSODescriptor></md:EntityDescriptor>",
            attribute(&self.entity_id),
            self.key.certificate_base64()
        )
    }

    fn login_form(&self, request_id: &str, relay_state: &str, login: &str, failed: bool) -> HttpResponse {
        LoginPage {
            name: &self.name,
            action: "/sign-in",
            hidden: &[("request_id", request_id), ("relay_state", relay_state)],
            login,
            people: &self.people.all(),
            failed,
        }
        .render()
    }

    fn begin(&self, xml: Result<String, String>, sso: &Sso) -> HttpResponse {
        let Some(sp) = self.sp() else { return no_app() };
        let relay_state = sso.relay_state.as_deref().unwrap_or_default();
        match xml.and_then(|xml| request::read(&xml, &sp, &self.sso_url)) {
            Err(why) => pages::refused("This request was refused", &why),
            // There is no session here, so nobody can be signed in without being asked.
            Ok(asked) if asked.passive => {
                let mut params = self.answer(&sp, Some(&asked.id));
                params.status = NO_PASSIVE.to_owned();
                self.post_on(&sp, &Person::new("", "", "", ""), &params, relay_state)
            }
            Ok(asked) => {
                let hint = sso.login_hint.as_deref().or(asked.name_id.as_deref()).unwrap_or_default();
                self.login_form(&asked.id, relay_state, hint, false)
            }
        }
    }

    fn answer(&self, sp: &ServiceProvider, in_response_to: Option<&str>) -> ResponseParams {
        ResponseParams::new(&sp.acs_url, &sp.entity_id, in_response_to, instrument::now())
    }

    fn post_on(
        &self,
        sp: &ServiceProvider,
        person: &Person,
        params: &ResponseParams,
        relay_state: &str,
    ) -> HttpResponse {
        match self.response(person, params) {
            Err(why) => HttpResponse::InternalServerError().body(why.to_string()),
            Ok(xml) => {
                let response = STANDARD.encode(xml);
                let mut fields = vec![("SAMLResponse", response.as_str())];
                if !relay_state.is_empty() {
                    fields.push(("RelayState", relay_state));
                }
                pages::post_on(&sp.acs_url, &fields)
            }
        }
    }
}

fn no_app() -> HttpResponse {
    pages::refused(
        "No app is set up here",
        "Give this provider the app's ACS URL and entity id, then sign in again.",
    )
}

#[derive(Deserialize)]
struct Sso {
    #[serde(rename = "SAMLRequest")]
    request: String,
    #[serde(rename = "RelayState")]
    relay_state: Option<String>,
    login_hint: Option<String>,
}

async fn metadata(idp: web::Data<Idp>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/samlmetadata+xml").body(idp.metadata())
}

async fn sso_redirect(idp: web::Data<Idp>, sso: web::Query<Sso>) -> HttpResponse {
    idp.begin(request::from_redirect(&sso.request), &sso)
}

async fn sso_post(idp: web::Data<Idp>, sso: web::Form<Sso>) -> HttpResponse {
    idp.begin(request::from_post(&sso.request), &sso)
}

#[derive(Deserialize)]
struct Start {
    #[serde(rename = "RelayState")]
    relay_state: Option<String>,
}

/// The tile on the provider's own dashboard: an answer nobody asked for (SAML Profiles 4.1.5).
async fn unsolicited(idp: web::Data<Idp>, start: web::Query<Start>) -> HttpResponse {
    idp.login_form("", start.relay_state.as_deref().unwrap_or_default(), "", false)
}

#[derive(Deserialize)]
struct Credentials {
    login: String,
    password: String,
    request_id: String,
    relay_state: String,
}

async fn sign_in(idp: web::Data<Idp>, form: web::Form<Credentials>) -> HttpResponse {
    let Some(sp) = idp.sp() else { return no_app() };
    match idp.people.with_password(&form.login, &form.password) {
        None => idp.login_form(&form.request_id, &form.relay_state, &form.login, true),
        Some(person) => {
            let asked = Some(form.request_id.as_str()).filter(|id| !id.is_empty());
            idp.post_on(&sp, &person, &idp.answer(&sp, asked), &form.relay_state)
        }
    }
}
