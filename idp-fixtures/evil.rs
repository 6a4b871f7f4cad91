//! Responses an attacker would post. Each [`Forgery`] starts from what the provider honestly signs for
//! `login` and tries to sign in as `victim`, or to be accepted where or when it should not be.
//! Every one must be refused, except [`Forgery::CommentInNameId`], which may also be read whole.
//! SAML wrapping is numbered as in Somorovsky et al., "On Breaking SAML" (USENIX Security 2012).

use crate::{
    FixtureError, Person, ResponseParams, SamlIdp, Signed,
    saml_response::{
        self, AssertionParts, RSA_SHA256, ResponseParts, Signer, canonical_info, new_id, signature_element,
        signed_info,
    },
    signing::SigningKey,
};
use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// No signature at all.
    Unsigned,
    /// Signed by a stranger's key, KeyInfo showing the true certificate.
    ForeignKey,
    /// Signed by a stranger's key, KeyInfo bringing its own certificate.
    AttackerKeyInfo,
    /// NameID and email changed after signing.
    NameIdTampered,
    /// A comment splits a NameID that was signed: `victim<!---->.attacker`. The signature is valid; a
    /// reader that takes the first text node takes the victim for the subject (the Duo 2018 class).
    CommentInNameId,
    /// HMAC-SHA256 keyed with the public key's DER.
    HmacWithPublicKey,
    /// An empty SignatureValue over a true digest.
    EmptySignature,
    /// Wrapped: a forged Response holds the signed one in its Signature.
    Xsw1,
    /// A forged Response holds the signed one beside its detached Signature.
    Xsw2,
    /// The forged Assertion stands before the signed one.
    Xsw3,
    /// The forged Assertion holds the signed one.
    Xsw4,
    /// The forged Assertion carries the Signature; the signed one stands at the end.
    Xsw5,
    /// The forged Assertion carries the Signature, and that the signed Assertion.
    Xsw6,
    /// The forged Assertion stands in Extensions before the signed one.
    Xsw7,
    /// The forged Assertion carries the Signature, whose Object holds the signed one.
    Xsw8,
    /// The forged Assertion has the signed one's ID.
    DuplicateId,
    /// A document type whose entity becomes the NameID.
    Doctype,
    /// Well signed, for another service provider of the same provider.
    WrongAudience,
    /// Well signed, without any AudienceRestriction.
    NoAudience,
    WrongRecipient,
    WrongDestination,
    /// Well signed in the name of another provider.
    WrongIssuer,
    /// Well signed, an hour ago.
    Expired,
    /// Well signed, valid an hour from now.
    NotYetValid,
    /// Well signed, in answer to a request nobody made.
    WrongInResponseTo,
    /// Well signed, with an Assertion beside a Status that says the sign-in failed.
    FailedStatus,
}

impl Forgery {
    pub const ALL: [Self; 26] = [
        Self::Unsigned,
        Self::ForeignKey,
        Self::AttackerKeyInfo,
        Self::NameIdTampered,
        Self::CommentInNameId,
        Self::HmacWithPublicKey,
        Self::EmptySignature,
        Self::Xsw1,
        Self::Xsw2,
        Self::Xsw3,
        Self::Xsw4,
        Self::Xsw5,
        Self::Xsw6,
        Self::Xsw7,
        Self::Xsw8,
        Self::DuplicateId,
        Self::Doctype,
        Self::WrongAudience,
        Self::NoAudience,
        Self::WrongRecipient,
        Self::WrongDestination,
        Self::WrongIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongInResponseTo,
        Self::FailedStatus,
    ];

    /// In a reviewer's words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unsigned => "No signature at all",
            Self::ForeignKey => "Signed by a stranger’s key",
            Self::AttackerKeyInfo => "Signed by a stranger’s key that brings its own certificate",
            Self::NameIdTampered => "Another person written in after signing",
            Self::CommentInNameId => "A comment that splits the signed name",
            Self::HmacWithPublicKey => "HMAC keyed with the public key",
            Self::EmptySignature => "An empty signature over a true digest",
            Self::Xsw1 => "Wrapping 1: the signed Response inside the forged one’s Signature",
            Self::Xsw2 => "Wrapping 2: the signed Response beside its Signature",
            Self::Xsw3 => "Wrapping 3: a forged Assertion before the signed one",
            Self::Xsw4 => "Wrapping 4: a forged Assertion around the signed one",
            Self::Xsw5 => "Wrapping 5: a forged Assertion with the signed one’s Signature",
            Self::Xsw6 => "Wrapping 6: the signed Assertion inside that Signature",
            Self::Xsw7 => "Wrapping 7: a forged Assertion in Extensions",
            Self::Xsw8 => "Wrapping 8: the signed Assertion in the Signature’s Object",
            Self::DuplicateId => "Two Assertions of one ID",
            Self::Doctype => "A document type whose entity becomes the name",
            Self::WrongAudience => "Well signed, for another app’s audience",
            Self::NoAudience => "Well signed, for no audience",
            Self::WrongRecipient => "Well signed, for another recipient",
            Self::WrongDestination => "Well signed, for another destination",
            Self::WrongIssuer => "Well signed, in another issuer’s name",
            Self::Expired => "Well signed, an hour ago",
            Self::NotYetValid => "Well signed, valid in an hour",
            Self::WrongInResponseTo => "Well signed, in answer to another request",
            Self::FailedStatus => "Well signed, under a status of failure",
        }
    }
}

/// The form value `SAMLResponse` of a forgery. `params` are those of an honest answer, which is what
/// the attacker could get for `login`; `victim` is the NameID and email the attacker is after.
///
/// Errors: `UnknownPerson` for `login`; `Key` when signing fails.
pub fn forge(
    idp: &SamlIdp,
    forgery: Forgery,
    login: &str,
    victim: &str,
    params: &ResponseParams,
) -> Result<String, FixtureError> {
    Ok(STANDARD.encode(forge_xml(idp, forgery, login, victim, params)?))
}

/// The same as XML.
pub fn forge_xml(
    idp: &SamlIdp,
    forgery: Forgery,
    login: &str,
    victim: &str,
    params: &ResponseParams,
) -> Result<String, FixtureError> {
    let attacker = idp.person(login)?;
    let stolen = Person { email: victim.to_owned(), ..attacker.clone() };
    let workshop = Workshop { idp, attacker, stolen, params };
    match forgery {
        Forgery::Unsigned => workshop.unsigned(),
        Forgery::ForeignKey => workshop.foreign(false),
        Forgery::AttackerKeyInfo => workshop.foreign(true),
        Forgery::NameIdTampered => workshop.tampered(),
        Forgery::CommentInNameId => workshop.comment(),
        Forgery::HmacWithPublicKey => workshop.hmac(),
        Forgery::EmptySignature => workshop.empty_signature(),
        Forgery::Xsw1 | Forgery::Xsw2 => workshop.wrapped_response(forgery),
        Forgery::Xsw3
        | Forgery::Xsw4
        | Forgery::Xsw5
        | Forgery::Xsw6
        | Forgery::Xsw7
        | Forgery::Xsw8
        | Forgery::DuplicateId => workshop.wrapped_assertion(forgery),
        Forgery::Doctype => workshop.doctype(),
        Forgery::FailedStatus => workshop.failed(),
        Forgery::WrongAudience
        | Forgery::NoAudience
        | Forgery::WrongRecipient
        | Forgery::WrongDestination
        | Forgery::WrongIssuer
        | Forgery::Expired
        | Forgery::NotYetValid
        | Forgery::WrongInResponseTo => idp.response_xml(login, &misdirected(forgery, params)),
    }
}

/// What is well signed and still not ours to accept. The wrapping and signing kinds change nothing.
fn misdirected(forgery: Forgery, honest: &ResponseParams) -> ResponseParams {
    const HOUR_SECS: i64 = 3600;
    let elsewhere = "https://other-app.example".to_owned();
    let shifted = |secs: i64| ResponseParams {
        issued_at: honest.issued_at.plus_secs(secs),
        not_before: honest.not_before.plus_secs(secs),
        not_on_or_after: honest.not_on_or_after.plus_secs(secs),
        confirm_before: honest.confirm_before.plus_secs(secs),
        ..honest.clone()
    };
    let honest = honest.clone();
    match forgery {
        Forgery::WrongAudience => ResponseParams { audience: Some(elsewhere), ..honest },
        Forgery::NoAudience => ResponseParams { audience: None, ..honest },
        Forgery::WrongRecipient => ResponseParams { recipient: format!("{elsewhere}/acs"), ..honest },
        Forgery::WrongDestination => ResponseParams { destination: format!("{elsewhere}/acs"), ..honest },
        Forgery::WrongIssuer => {
            ResponseParams { issuer: Some("https://other-idp.example".to_owned()), ..honest }
        }
        Forgery::Expired => shifted(-HOUR_SECS),
        Forgery::NotYetValid => shifted(HOUR_SECS),
        Forgery::WrongInResponseTo => ResponseParams { in_response_to: Some(new_id()), ..honest },
        _ => honest,
    }
}

struct Workshop<'a> {
    idp: &'a SamlIdp,
    attacker: Person,
    /// The attacker's account wearing the victim's email.
    stolen: Person,
    params: &'a ResponseParams,
}

impl Workshop<'_> {
    fn honest_signer(&self) -> Signer<'_> {
        Signer { key: self.idp.key(), shown: self.idp.key() }
    }
    fn response(&self, response_id: &str) -> ResponseParts {
        let params = ResponseParams { response_id: response_id.to_owned(), ..self.params.clone() };
        ResponseParts::new(self.idp.entity_id(), &params)
    }
    fn assertion(&self, person: &Person, id: &str) -> AssertionParts {
        let params = ResponseParams { assertion_id: id.to_owned(), ..self.params.clone() };
        AssertionParts::new(self.idp.entity_id(), person, &params)
    }

    fn unsigned(&self) -> Result<String, FixtureError> {
        let params = ResponseParams { signed: Signed::Nothing, ..self.params.clone() };
        saml_response::write(self.idp.entity_id(), &self.stolen, &params, self.honest_signer())
    }

    fn foreign(&self, own_key_info: bool) -> Result<String, FixtureError> {
        let key = SigningKey::generate(self.idp.entity_id())?;
        let shown = if own_key_info { &key } else { self.idp.key() };
        saml_response::write(self.idp.entity_id(), &self.stolen, self.params, Signer { key: &key, shown })
    }

    fn tampered(&self) -> Result<String, FixtureError> {
        let xml =
            saml_response::write(self.idp.entity_id(), &self.attacker, self.params, self.honest_signer())?;
        let (own, other) = (&self.attacker.email, &self.stolen.email);
        Ok(xml.replace(&format!(">{own}<"), &format!(">{}<", saml_response::text(other))))
    }

    fn comment(&self) -> Result<String, FixtureError> {
        let (victim, tail) = (&self.stolen.email, ".attacker.example");
        let params = ResponseParams { name_id: Some(format!("{victim}{tail}")), ..self.params.clone() };
        let xml = saml_response::write(self.idp.entity_id(), &self.attacker, &params, self.honest_signer())?;
        let victim = saml_response::text(victim);
        Ok(xml.replace(&format!(">{victim}{tail}<"), &format!(">{victim}<!---->{tail}<")))
    }

    fn hmac(&self) -> Result<String, FixtureError> {
        let assertion = self.assertion(&self.stolen, &new_id());
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, assertion.alone().as_bytes()));
        let method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
        let info = signed_info(method, &assertion.id, &digest);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.idp.key().public_der());
        let value = STANDARD.encode(hmac::sign(&key, canonical_info(&info).as_bytes()));
        let signature = signature_element(&info, &value, &self.idp.key().certificate_base64());
        Ok(self.response(&new_id()).write("", &assertion.within(&signature)))
    }

    fn empty_signature(&self) -> Result<String, FixtureError> {
        let assertion = self.assertion(&self.stolen, &new_id());
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, assertion.alone().as_bytes()));
        let info = signed_info(RSA_SHA256, &assertion.id, &digest);
        let signature = signature_element(&info, "", &self.idp.key().certificate_base64());
        Ok(self.response(&new_id()).write("", &assertion.within(&signature)))
    }

    fn failed(&self) -> Result<String, FixtureError> {
        let status = "urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned();
        let response =
            ResponseParts::new(self.idp.entity_id(), &ResponseParams { status, ..self.params.clone() });
        let assertion = self.assertion(&self.attacker, &self.params.assertion_id);
        let inner = assertion.within(&assertion.sign(self.honest_signer())?);
        Ok(response.write(&response.sign(self.honest_signer(), &inner)?, &inner))
    }

    /// The signed Response goes where the reference is still found and nobody reads.
    fn wrapped_response(&self, forgery: Forgery) -> Result<String, FixtureError> {
        let honest = self.response(&self.params.response_id);
        let inner = self.assertion(&self.attacker, &self.params.assertion_id).within("");
        let signature = honest.sign(self.honest_signer(), &inner)?;
        let original = honest.write("", &inner);
        let forged = self.response(&new_id());
        let evil = self.assertion(&self.stolen, &new_id()).within("");
        Ok(match forgery {
            Forgery::Xsw1 => forged.write(&in_signature(&signature, &original), &evil),
            _ => forged.write(&format!("{original}{signature}"), &evil),
        })
    }

    fn wrapped_assertion(&self, forgery: Forgery) -> Result<String, FixtureError> {
        let honest = self.assertion(&self.attacker, &self.params.assertion_id);
        let signature = honest.sign(self.honest_signer())?;
        let (signed, bare) = (honest.within(&signature), honest.within(""));
        let evil_id = if forgery == Forgery::DuplicateId { honest.id.clone() } else { new_id() };
        let evil = self.assertion(&self.stolen, &evil_id);
        let inner = match forgery {
            Forgery::Xsw4 => {
                evil.within("").replace("</saml2:Assertion>", &format!("{signed}</saml2:Assertion>"))
            }
            Forgery::Xsw5 => format!("{}{bare}", evil.within(&signature)),
            Forgery::Xsw6 => evil.within(&in_signature(&signature, &bare)),
            Forgery::Xsw7 => {
                format!("<saml2p:Extensions>{}</saml2p:Extensions>{signed}", evil.within(""))
            }
            Forgery::Xsw8 => {
                evil.within(&in_signature(&signature, &format!("<ds:Object>{bare}</ds:Object>")))
            }
            _ => format!("{}{signed}", evil.within("")),
        };
        Ok(self.response(&self.params.response_id).write("", &inner))
    }

    fn doctype(&self) -> Result<String, FixtureError> {
        let xml =
            saml_response::write(self.idp.entity_id(), &self.attacker, self.params, self.honest_signer())?;
        let victim = saml_response::text(&self.stolen.email);
        let body = xml.replace(&format!(">{}<", self.attacker.email), ">&who;<");
        Ok(format!("<!DOCTYPE r [<!ENTITY who \"{victim}\">]>{body}"))
    }
}

/// Puts `inside` at the end of a Signature.
fn in_signature(signature: &str, inside: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{inside}</ds:Signature>"))
}
