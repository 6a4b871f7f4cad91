#!/usr/bin/env python3
"""Writes the SAML fixtures under okta/, entra/ and evil/: documents in each vendor's own style, signed by
the `xmlsec1` program with keys made by `openssl`, and attacks made out of them. Needs both programs and no
network. The keys are thrown away, so a run rewrites every file: run it only to add a case, and commit all.

Each case is a folder of `response.xml` and `expect.toml`; `metadata.xml` in the vendor's folder (or in the
case's own) is the identity provider's, and the only source of trust. See src/saml/tests/fixtures.rs."""
import hashlib, base64, pathlib, re, shutil, subprocess, tempfile

HERE = pathlib.Path(__file__).resolve().parent
TMP = pathlib.Path(tempfile.mkdtemp())
NOW = "2026-11-21T10:00:05Z"
SP = "https://sso.example.com/saml/con_1/metadata"
ACS = "https://sso.example.com/saml/con_1/acs"
REQUEST = "_8f3c1e5d7a9b4c2d8e6f0a1b3c5d7e9f"
DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
EMAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"


def run(*args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, **kw)
    if done.returncode:
        raise SystemExit(f"{args}: {done.stderr.decode()}")
    return done.stdout


class Idp:
    def __init__(self, name, entity_id, key, days=3650):
        self.name, self.entity_id = name, entity_id
        self.key, self.cert = TMP / f"{name}.key", TMP / f"{name}.pem"
        new = ["rsa:" + key[3:]] if key.startswith("rsa") else ["ec", "-pkeyopt", "ec_paramgen_curve:" + key]
        run("openssl", "req", "-x509", "-newkey", *new, "-nodes", "-keyout", self.key, "-out", self.cert,
            "-days", days, "-subj", f"/CN={name}")
        self.rsa = key.startswith("rsa")
        self.der64 = "".join(self.cert.read_text().split("\n")[1:-2])

    def metadata(self, keys=None):
        keys = keys if keys is not None else [self.der64]
        descriptors = "".join(
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>\n'
            f"{k}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\n" for k in keys)
        return (f'<?xml version="1.0" encoding="UTF-8"?>\n'
                f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity_id}">\n'
                f'<md:IDPSSODescriptor WantAuthnRequestsSigned="false" '
                f'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">\n{descriptors}'
                f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/{self.name}/sso"/>\n'
                f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/{self.name}/sso"/>\n'
                f"</md:IDPSSODescriptor>\n</md:EntityDescriptor>\n")


def signature(ref, method, digest, prefixes="", transforms=None, c14n=EXC):
    incl = f'<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="{prefixes}"/>' if prefixes else ""
    transforms = transforms or (f'<ds:Transform Algorithm="{DS}enveloped-signature"/>'
                                f'<ds:Transform Algorithm="{EXC}">{incl}</ds:Transform>')
    return (f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"/>'
            f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="{ref}"><ds:Transforms>{transforms}'
            f'</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue></ds:DigestValue></ds:Reference>'
            f"</ds:SignedInfo><ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
            f"<ds:X509Certificate></ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>")


SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
DIGESTS = {"256": SHA256, "384": MORE + "sha384", "512": "http://www.w3.org/2001/04/xmlenc#sha512"}


def xmlsec_sign(xml, idp, xpath, extra=()):
    source, out = TMP / "in.xml", TMP / "out.xml"
    source.write_text(xml)
    run("xmlsec1", "--sign", "--privkey-pem", f"{idp.key},{idp.cert}",
        "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response",
        "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
        "--node-xpath", xpath, *extra, "--output", out, source)
    return out.read_text()


OKTA_ATTRIBUTES = {"email": ["ada@customer.example"], "firstName": ["Ada"], "lastName": ["Lovelace"],
                   "groups": ["00g1-engineers", "00g2-admins & <owners>"]}
CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
ENTRA_ATTRIBUTES = {
    "http://schemas.microsoft.com/identity/claims/tenantid": ["5d3c6a52-0000-4a9b-8f0e-1c2d3e4f5a6b"],
    "http://schemas.microsoft.com/identity/claims/displayname": ["Grace Hopper"],
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups": ["1b0e7c1e-8f5e-4f0a-9f5b-0a6d1f2e3c4d"],
    "http://schemas.microsoft.com/claims/authnmethodsreferences":
        ["http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password",
         "http://schemas.microsoft.com/claims/multipleauthn"],
    CLAIMS + "givenname": ["Grace"], CLAIMS + "surname": ["Hopper"], CLAIMS + "emailaddress": ["grace@customer.example"],
}


def okta(idp, sign="both", sig=None, **o):
    """Okta's style: prefixes saml2p and saml2, xs and xsi declared on every value, PrefixList="xs"."""
    g = lambda k, d: o.get(k, d)
    a_id, r_id = g("assertion_id", "id3417891234567890123"), g("response_id", "id9876543210987654321")
    method = sig or MORE + ("rsa-sha256" if idp.rsa else "ecdsa-sha256")
    digest = g("digest", DIGESTS[method[-3:]] if method[-3:] in DIGESTS else SHA256)
    values = lambda vs: "".join(
        '<saml2:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">'
        + v.replace("&", "&amp;").replace("<", "&lt;") + "</saml2:AttributeValue>" for v in vs)
    attributes = "".join(
        f'<saml2:Attribute Name="{n}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified">{values(v)}'
        "</saml2:Attribute>" for n, v in g("attributes", OKTA_ATTRIBUTES).items())
    irt = g("in_response_to", f' InResponseTo="{REQUEST}"')
    entity = 'Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity"'
    audience = g("audience", f"<saml2:AudienceRestriction><saml2:Audience>{SP}</saml2:Audience></saml2:AudienceRestriction>")
    data = g("data", f'<saml2:SubjectConfirmationData{irt} NotOnOrAfter="{g("confirm_until", "2026-11-21T10:05:00.250Z")}" '
                     f'Recipient="{g("recipient", ACS)}"/>')
    a_sig = signature("#" + a_id, method, digest, "xs", g("transforms", None), g("c14n", EXC)) if sign in ("assertion", "both") else ""
    authn = g("authn", f'<saml2:AuthnStatement AuthnInstant="2026-11-21T09:58:00.100Z" SessionIndex="{REQUEST}"{g("session", "")}>'
        "<saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
        "</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>")
    assertion = (
        f'<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="{a_id}" IssueInstant="{g("issued", "2026-11-21T10:00:00.250Z")}" '
        f'Version="{g("a_version", "2.0")}"{g("a_extra", "")}><saml2:Issuer {entity}>{g("issuer", idp.entity_id)}</saml2:Issuer>{a_sig}'
        '<saml2:Subject>'
        + g("name_id_element", f'<saml2:NameID Format="{g("format", EMAIL_FORMAT)}">{g("name_id", "ada@customer.example")}</saml2:NameID>') +
        f'<saml2:SubjectConfirmation Method="{g("method", BEARER)}">{data}</saml2:SubjectConfirmation></saml2:Subject>'
        f'<saml2:Conditions NotBefore="{g("not_before", "2026-11-21T09:55:00.250Z")}" NotOnOrAfter="{g("until", "2026-11-21T10:05:00.250Z")}">'
        f'{audience}</saml2:Conditions>{authn}<saml2:AttributeStatement>{attributes}</saml2:AttributeStatement></saml2:Assertion>')
    destination = g("destination", f' Destination="{ACS}"')
    xml = (f'<?xml version="1.0" encoding="UTF-8"?>\n<saml2p:Response xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol"{destination} '
           f'ID="{r_id}"{g("r_in_response_to", irt)} IssueInstant="2026-11-21T10:00:00.250Z" Version="{g("r_version", "2.0")}" '
           f'xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" {entity}>'
           f'{g("r_issuer", idp.entity_id)}</saml2:Issuer>@SIG@'
           f'<saml2p:Status><saml2p:StatusCode Value="{g("status", SUCCESS)}"/></saml2p:Status>{assertion}</saml2p:Response>\n')
    return finish(xml, idp, sign, r_id, method, digest, g("extra", ()))


def entra(idp, sign="assertion", sig=None, **o):
    """Entra's style: samlp and a default namespace for the Assertion; signs the Assertion unless told otherwise."""
    g = lambda k, d: o.get(k, d)
    a_id, r_id = "_a1b2c3d4-1111-2222-3333-444455556666", "_0f9e8d7c-6666-5555-4444-333322221111"
    method = sig or MORE + ("rsa-sha256" if idp.rsa else "ecdsa-sha256")
    digest = DIGESTS[method[-3:]]
    attributes = "".join(f'<Attribute Name="{n}">' + "".join(f"<AttributeValue>{v}</AttributeValue>" for v in vs) + "</Attribute>"
                         for n, vs in ENTRA_ATTRIBUTES.items())
    a_sig = signature("#" + a_id, method, digest).replace("ds:", "").replace("xmlns:ds", "xmlns") if sign in ("assertion", "both") else ""
    a_sig = a_sig.replace(f'xmlns:xmldsig', 'xmlns')
    xml = (f'<samlp:Response ID="{r_id}" Version="2.0" IssueInstant="2026-11-21T10:00:01.1234567Z" Destination="{ACS}"'
           f'{g("irt", f" InResponseTo=%s{REQUEST}%s" % (chr(34), chr(34)))} xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol">'
           f'<Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">{idp.entity_id}</Issuer>@SIG@'
           f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>'
           f'<Assertion ID="{a_id}" IssueInstant="2026-11-21T10:00:01.1234567Z" Version="2.0" xmlns="urn:oasis:names:tc:SAML:2.0:assertion">'
           f'<Issuer>{idp.entity_id}</Issuer>{a_sig}<Subject><NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">'
           f'nq3b0pUo7Zc1e8J2Kf</NameID><SubjectConfirmation Method="{BEARER}"><SubjectConfirmationData'
           f'{g("irt", f" InResponseTo=%s{REQUEST}%s" % (chr(34), chr(34)))} NotOnOrAfter="2026-11-21T11:00:01.123Z" Recipient="{ACS}"/></SubjectConfirmation></Subject>'
           f'<Conditions NotBefore="2026-11-21T09:55:01.123Z" NotOnOrAfter="2026-11-21T11:00:01.123Z"><AudienceRestriction><Audience>{SP}</Audience>'
           f'</AudienceRestriction></Conditions><AttributeStatement>{attributes}</AttributeStatement>'
           f'<AuthnStatement AuthnInstant="2026-11-21T08:30:00.000Z" SessionIndex="{a_id}" SessionNotOnOrAfter="2026-11-21T18:00:00Z"><AuthnContext>'
           f'<AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement>'
           f'</Assertion></samlp:Response>')
    return finish(xml, idp, sign, r_id, method, digest, ())


def finish(xml, idp, sign, r_id, method, digest, extra):
    if sign in ("assertion", "both"):
        xml = xmlsec_sign(xml, idp, "/*/*[local-name()='Assertion']/*[local-name()='Signature']", extra)
    if sign in ("response", "both"):
        xml = xml.replace("@SIG@", signature("#" + r_id, method, digest, "xs" if "xmlns:xs=" in xml else ""))
        xml = xmlsec_sign(xml, idp, "/*/*[local-name()='Signature']", extra)
    return xml.replace("@SIG@", "")


def case(folder, xml, code=None, identity=None, **expect):
    target = HERE / folder
    target.mkdir(parents=True, exist_ok=True)
    (target / "response.xml").write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    idp = OKTA if not folder.startswith("entra") else ENTRA
    expect = {"now": NOW, "idp_entity_id": idp.entity_id, "audience": SP, "acs_url": ACS, "in_response_to": REQUEST} | expect
    lines = [f'code = "{code}"' if code else "# accepted"]
    lines += [f"{k} = {v if isinstance(v, int) else chr(34) + v + chr(34)}" for k, v in expect.items() if v is not None]
    if identity:
        lines += ["", "[identity]"] + [f"{k} = {v}" for k, v in identity.items()]
    (target / "expect.toml").write_text("\n".join(lines) + "\n")


def quoted(values):
    return "[" + ", ".join(f'"{v}"' for v in values) + "]"


ADA = {"subject": '"ada@customer.example"', "email": '"ada@customer.example"', "given_name": '"Ada"', "family_name": '"Lovelace"',
       "groups": quoted(OKTA_ATTRIBUTES["groups"]), "auth_time": '"2026-11-21T09:58:00.1Z"',
       "single_use_key": '"id3417891234567890123"', "single_use_until": '"2026-11-21T10:06:30.25Z"'}
GRACE = {"subject": '"nq3b0pUo7Zc1e8J2Kf"', "email": '"grace@customer.example"', "display_name": '"Grace Hopper"',
         "groups": quoted(["1b0e7c1e-8f5e-4f0a-9f5b-0a6d1f2e3c4d"]), "until": '"2026-11-21T18:00:00Z"'}

for vendor in ("okta", "entra", "evil"):
    for old in (HERE / vendor).glob("*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
OKTA = Idp("okta", "http://www.okta.com/exk1fxp8q2vjwZ0rP5d7", "rsa2048")
ENTRA = Idp("entra", "https://sts.windows.net/5d3c6a52-0000-4a9b-8f0e-1c2d3e4f5a6b/", "rsa2048")
P256 = Idp("p256", OKTA.entity_id, "P-256")
P384 = Idp("p384", OKTA.entity_id, "P-384")
MALLORY = Idp("mallory", OKTA.entity_id, "rsa2048")
(HERE / "okta/metadata.xml").write_text(OKTA.metadata())
(HERE / "entra/metadata.xml").write_text(ENTRA.metadata())
(HERE / "evil/metadata.xml").write_text(OKTA.metadata())

(HERE / "evil/certificates").mkdir()
for name, key in (("rsa1024", "rsa1024"), ("p521", "P-521"), ("secp256k1", "secp256k1")):
    shutil.copy(Idp(name, OKTA.entity_id, key).cert, HERE / f"evil/certificates/{name}.pem")

# --- what must be accepted -------------------------------------------------------------------------------
for sign in ("response", "assertion", "both"):
    case(f"okta/{sign}_signed", okta(OKTA, sign), identity=ADA)
    case(f"entra/{sign}_signed", entra(ENTRA, sign), identity=GRACE)
for name, idp, method in (("rsa_sha384", OKTA, "rsa-sha384"), ("rsa_sha512", OKTA, "rsa-sha512"), ("p256", P256, "ecdsa-sha256"),
                          ("p384", P384, "ecdsa-sha384"), ("p384_sha256", P384, "ecdsa-sha256"), ("p256_sha512", P256, "ecdsa-sha512")):
    case(f"okta/{name}", okta(idp, "both", MORE + method), identity=ADA)
    (HERE / f"okta/{name}/metadata.xml").write_text(idp.metadata())
(HERE / "okta/rollover").mkdir()
(HERE / "okta/rollover/metadata.xml").write_text(OKTA.metadata([MALLORY.der64, P256.der64, OKTA.der64]))
case("okta/rollover", okta(OKTA), identity=ADA)
case("okta/idp_initiated", okta(OKTA, in_response_to=""), identity=ADA, in_response_to=None)
case("entra/idp_initiated", entra(ENTRA, irt=""), identity=GRACE, in_response_to=None)
case("okta/last_second", okta(OKTA), identity=ADA, now="2026-11-21T10:06:30.249999Z")
commented = "ada<!-- -->@customer.example<![CDATA[.co]]>.uk"
case("okta/name_id_comment", okta(OKTA, "assertion", name_id=commented),
     identity=ADA | {"subject": '"ada@customer.example.co.uk"'})
plain_values = okta(OKTA, "response", attributes={"email": ["a@x.example", "b@x.example"], "groups": []})
case("okta/two_emails_are_none", plain_values, identity={"subject": '"ada@customer.example"', "groups": "[]"})
wide = lambda sign: okta(OKTA, sign, attributes=OKTA_ATTRIBUTES | {f"custom{i}": [f"value {i}"] for i in range(8)}
            | {"groups": [f"00g{i:04}-team-of-people" for i in range(50)]})
for name, sign in (("fifty_groups", "both"), ("fifty_groups_one_signature", "assertion")):
    case(f"okta/{name}", wide(sign), identity={"subject": '"ada@customer.example"', "email": '"ada@customer.example"'})

# --- rules: validly signed, and not for us or not now ------------------------------------------------------
def rule(name, code, expect=None, sign="both", **o):
    case(f"evil/{name}", okta(OKTA, sign, **o), code, standing="proven", **(expect or {}))

# The IdP's Response around an assertion that somebody else signed.
inside = re.search(r"<saml2:Assertion .*</saml2:Assertion>", okta(MALLORY, "assertion"), re.S).group(0)
outside = re.sub(r"<saml2:Assertion .*</saml2:Assertion>", lambda _: inside, okta(OKTA, "none"), flags=re.S)
outside = outside.replace("<saml2p:Status>", "@SIG@<saml2p:Status>")
case("evil/inner_signature_of_attacker", finish(outside, OKTA, "response", "id9876543210987654321", MORE + "rsa-sha256", SHA256, ()),
     "saml.signature_invalid", standing="proven")
rule("encrypted_id", "saml.encrypted_id_not_supported", name_id_element="<saml2:EncryptedID/>")
rule("no_name_id", "saml.element_missing", name_id_element="")
rule("empty_id", "saml.identifier_malformed", sign="response", assertion_id="")
audience = lambda *urls: "<saml2:AudienceRestriction>" + "".join(f"<saml2:Audience>{u}</saml2:Audience>" for u in urls) + "</saml2:AudienceRestriction>"
rule("audience_other", "saml.audience_mismatch", audience=audience("https://other.example/sp"))
rule("audience_prefix", "saml.audience_mismatch", audience=audience(SP + "x"))
rule("audience_second_restriction", "saml.audience_mismatch", audience=audience(SP) + audience("https://other.example/sp"))
rule("audience_missing", "saml.audience_missing", audience="")
rule("audience_empty", "saml.audience_mismatch", audience=audience())
rule("recipient_other", "saml.recipient_mismatch", recipient="https://other.example/acs")
rule("recipient_missing", "saml.recipient_missing", data=f'<saml2:SubjectConfirmationData InResponseTo="{REQUEST}" NotOnOrAfter="2026-11-21T10:05:00Z"/>')
rule("destination_other", "saml.destination_mismatch", destination=' Destination="https://other.example/acs"')
rule("destination_other_unsigned", "saml.destination_mismatch", sign="assertion", destination=' Destination="https://other.example/acs"')
rule("destination_missing_signed", "saml.destination_missing", destination="")
rule("issuer_other", "saml.issuer_mismatch", issuer="https://other.example/idp")
rule("issuer_other_response", "saml.issuer_mismatch", sign="assertion", r_issuer="https://other.example/idp")
rule("in_response_to_other", "saml.in_response_to_mismatch", in_response_to=' InResponseTo="_someone_elses"')
rule("in_response_to_only_unsigned", "saml.in_response_to_missing", sign="assertion", in_response_to="", r_in_response_to=f' InResponseTo="{REQUEST}"')
rule("in_response_to_other_unsigned", "saml.in_response_to_mismatch", sign="assertion", r_in_response_to=' InResponseTo="_someone_elses"')
rule("in_response_to_missing", "saml.in_response_to_missing", in_response_to="")
rule("in_response_to_unexpected", "saml.in_response_to_unexpected", {"in_response_to": None})
rule("in_response_to_unexpected_in_assertion", "saml.in_response_to_unexpected", {"in_response_to": None}, sign="assertion", r_in_response_to="")
rule("expired_exact_second", "saml.expired", {"now": "2026-11-21T10:06:30.250Z"})
rule("confirmation_expired_exact_second", "saml.confirmation_expired", {"now": "2026-11-21T10:03:30Z"}, confirm_until="2026-11-21T10:02:00Z")
rule("confirmation_without_end", "saml.confirmation_without_end", data=f'<saml2:SubjectConfirmationData InResponseTo="{REQUEST}" Recipient="{ACS}"/>')
rule("confirmation_not_yet", "saml.confirmation_not_yet_valid", data=f'<saml2:SubjectConfirmationData InResponseTo="{REQUEST}" Recipient="{ACS}" NotBefore="2026-11-21T10:03:00Z" NotOnOrAfter="2026-11-21T10:05:00Z"/>')
rule("not_yet_valid", "saml.not_yet_valid", not_before="2026-11-21T10:01:36Z")
rule("issued_in_future", "saml.issued_in_future", issued="2026-11-21T10:02:00Z")
rule("session_expired", "saml.session_expired", session=' SessionNotOnOrAfter="2026-11-21T09:58:35Z"')
rule("authn_statement_missing", "saml.authn_statement_missing", authn="")
rule("authenticated_in_future", "saml.authenticated_in_future", authn='<saml2:AuthnStatement AuthnInstant="2026-11-21T11:00:00Z"/>')
rule("skew_is_bounded", "saml.expired", {"now": "2026-11-21T11:00:00Z", "clock_skew_secs": 1000000})
rule("status_failed_with_assertion", "saml.status_not_success", sign="assertion", status="urn:oasis:names:tc:SAML:2.0:status:Responder")
rule("holder_of_key", "saml.bearer_confirmation_missing", method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")
rule("version_1_1", "saml.version_unsupported", a_version="1.1")
rule("version_1_1_response", "saml.version_unsupported", sign="assertion", r_version="1.1")
rule("name_id_transient", "saml.name_id_transient", format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient")
rule("name_id_empty", "saml.name_id_malformed", name_id="")
rule("name_id_element", "saml.name_id_malformed", name_id="ada@customer.example<x/>.evil.example")
rule("name_id_space", "saml.name_id_malformed", name_id=" ada@customer.example")
rule("time_without_zone", "saml.time_malformed", until="2026-11-21T10:05:00")
rule("condition_unknown", "saml.condition_unknown", audience=audience(SP) + '<saml2:Condition xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="x"/>')
rule("second_subject", "saml.element_repeated", authn="<saml2:Subject><saml2:NameID>admin@customer.example</saml2:NameID></saml2:Subject>")

# --- shapes: a stranger's documents ------------------------------------------------------------------------
def evil(name, xml, code, **expect):
    case(f"evil/{name}", xml, code, standing="stranger", **expect)

A, R, B = okta(OKTA, "assertion"), okta(OKTA, "response"), okta(OKTA, "both")
ASSERTION, SIGNATURE = re.compile(r"<saml2:Assertion .*</saml2:Assertion>", re.S), re.compile(r"<ds:Signature .*?</ds:Signature>", re.S)
part = lambda pattern, xml: pattern.search(xml).group(0)
assertion, signature_a, signature_r = part(ASSERTION, A), part(SIGNATURE, A), part(SIGNATURE, R)
bare = assertion.replace(signature_a, "")
forge = lambda xml: xml.replace("ada@customer.example", "admin@customer.example")
forged = forge(bare).replace("id3417891234567890123", "id_evil")
R_bare = R.replace(signature_r, "")
wrapped_r = re.sub(r"^<\?xml.*?\?>\s*", "", R)

def into(xml, tag, inserted):
    """Inserts before the first `tag`."""
    assert tag in xml, tag
    return xml.replace(tag, inserted + tag, 1)

# The eight of Somorovsky et al., 2012: 1 and 2 wrap the signed Response, 3 to 8 the signed Assertion.
evil_root = forge(R_bare).replace("id9876543210987654321", "id_evil_response").replace("id3417891234567890123", "id_evil")
evil("xsw1", into(evil_root, "<saml2p:Status>", signature_r.replace("</ds:Signature>", f"<ds:Object>{R_bare.split('?>', 1)[1].strip()}</ds:Object></ds:Signature>")), "saml.response_nested")
evil("xsw2", into(evil_root, "<saml2p:Status>", R_bare.split("?>", 1)[1].strip() + signature_r), "saml.response_nested")
evil("xsw3", A.replace(assertion, forged + assertion), "saml.assertion_count")
evil("xsw4", A.replace(assertion, forged.replace("</saml2:Assertion>", assertion + "</saml2:Assertion>")), "saml.assertion_misplaced")
evil("xsw5", A.replace(assertion, forge(assertion).replace('ID="id3417891234567890123"', 'ID="id_evil"') + bare), "saml.assertion_count")
evil("xsw6", A.replace(assertion, into(forged, "<saml2:Subject>", signature_a.replace("</ds:Signature>", f"{bare}</ds:Signature>"))), "saml.assertion_misplaced")
evil("xsw7", into(A.replace(assertion, forged), "<saml2:Assertion ", f"<saml2p:Extensions>{assertion}</saml2p:Extensions>"), "saml.assertion_misplaced")
evil("xsw8", A.replace(assertion, into(forged, "<saml2:Subject>", signature_a.replace("</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>"))), "saml.assertion_misplaced")
b_assertion = part(ASSERTION, B)
evil("xsw3_both", B.replace(b_assertion, forged + b_assertion), "saml.assertion_count")
evil("xsw4_both", B.replace(b_assertion, forged.replace("</saml2:Assertion>", b_assertion + "</saml2:Assertion>")), "saml.assertion_misplaced")
evil("xsw7_both", into(B.replace(b_assertion, forged), "<saml2:Assertion ", f"<saml2p:Extensions>{b_assertion}</saml2p:Extensions>"), "saml.assertion_misplaced")
evil("assertion_swapped_in_response", R.replace(part(ASSERTION, R), assertion), "saml.digest_mismatch")
evil("wrapped_in_advice", A.replace(assertion, into(forged, "<saml2:AttributeStatement>", f"<saml2:Advice>{assertion}</saml2:Advice>")), "saml.assertion_misplaced")
evil("wrapped_in_status_detail", A.replace(assertion, forged).replace("</saml2p:Status>", f"<saml2p:StatusDetail>{assertion}</saml2p:StatusDetail></saml2p:Status>"), "saml.assertion_misplaced")
evil("wrapped_in_attribute_value", A.replace(assertion, into(forged, "</saml2:AttributeStatement>", f'<saml2:Attribute Name="x"><saml2:AttributeValue>{assertion}</saml2:AttributeValue></saml2:Attribute>')), "saml.assertion_misplaced")
evil("assertion_of_other_namespace", A.replace("</saml2p:Response>", '<Assertion xmlns="urn:x"/></saml2p:Response>'), "saml.assertion_misplaced")
evil("signature_in_attribute_value", A.replace(assertion, into(forged, "</saml2:AttributeStatement>", f'<saml2:Attribute Name="x"><saml2:AttributeValue>{signature_a}</saml2:AttributeValue></saml2:Attribute>')), "saml.signature_misplaced")
evil("signature_of_other_namespace", A.replace(signature_a, '<Signature xmlns="urn:x"/>'), "saml.signature_misplaced")
evil("duplicate_id", A.replace("id9876543210987654321", "id3417891234567890123"), "saml.duplicate_id")
evil("duplicate_id_other_spelling", A.replace("<saml2:AttributeStatement>", '<saml2:AttributeStatement xml:id="id3417891234567890123">'), "saml.duplicate_id")
info = part(re.compile(r"<ds:SignedInfo>.*?</ds:SignedInfo>", re.S), A)
evil("two_signed_infos", A.replace(info, info + info), "saml.signature_shape")
evil("two_signatures", A.replace(signature_a, signature_a + signature_a), "saml.signature_count")
reference = part(re.compile(r"<ds:Reference .*?</ds:Reference>", re.S), A)
evil("two_references", A.replace(reference, reference + reference), "saml.signature_shape")
evil("object_in_signature", A.replace("</ds:Signature>", "<ds:Object/></ds:Signature>"), "saml.signature_shape")
digest_value = part(re.compile(r"<ds:DigestValue>.*?</ds:DigestValue>", re.S), A)
evil("comment_in_digest_value", A.replace(digest_value, digest_value.replace("</", "<!--x--></")), "saml.signature_shape")
evil("comment_before_digest_value", forge(A).replace(digest_value, "<ds:DigestValue><!--AAAA-->" + digest_value[16:]), "saml.signature_shape")
evil("digest_value_elsewhere", forge(A).replace("</saml2p:Status>", f"<saml2p:StatusDetail>{digest_value.replace('<ds:DigestValue', '<ds:DigestValue xmlns:ds=%s%s%s' % (chr(34), DS, chr(34)))}</saml2p:StatusDetail></saml2p:Status>"), "saml.digest_mismatch")
evil("changed_assertion", forge(A), "saml.digest_mismatch")
evil("changed_response", forge(R), "saml.digest_mismatch")
evil("changed_inner_of_both", B.replace("<saml2:NameID Format", "<saml2:NameID  xml:lang='en' Format"), "saml.digest_mismatch")
value = part(re.compile(r"<ds:SignatureValue>.*?</ds:SignatureValue>", re.S), A)
swap = "B" if value[25] != "B" else "C"
evil("changed_signature_value", A.replace(value, value[:25] + swap + value[26:]), "saml.signature_invalid")
evil("empty_signature_value", A.replace(value, "<ds:SignatureValue></ds:SignatureValue>"), "saml.signature_shape")
evil("unsigned", A.replace(signature_a, ""), "saml.signature_missing")
evil("key_info_of_attacker", okta(MALLORY, "assertion"), "saml.signature_invalid")
evil("key_info_of_attacker_both", okta(MALLORY, "both"), "saml.signature_invalid")
evil("key_of_other_curve", okta(P256, "assertion"), "saml.signature_invalid")
(TMP / "hmac.key").write_bytes(OKTA.cert.read_bytes())
def hmac_signed():
    xml = okta(OKTA, "none").replace("</saml2:Issuer><saml2:Subject>", "</saml2:Issuer>" + signature("#id3417891234567890123", MORE + "hmac-sha256", SHA256).replace("<ds:KeyInfo><ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data></ds:KeyInfo>", "") + "<saml2:Subject>")
    source, out = TMP / "in.xml", TMP / "out.xml"
    source.write_text(forge(xml))
    run("xmlsec1", "--sign", "--hmackey", TMP / "hmac.key", "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", "--output", out, source)
    return out.read_text()
evil("hmac_with_public_key", hmac_signed(), "saml.hmac_refused")
evil("rsa_sha1", okta(OKTA, "assertion", DS + "rsa-sha1"), "saml.sha1_refused")
evil("digest_sha1", okta(OKTA, "assertion", digest=DS + "sha1"), "saml.sha1_refused")
evil("rsa_sha224", okta(OKTA, "assertion", MORE + "rsa-sha224"), "saml.signature_algorithm_unsupported")
enveloped = f'<ds:Transform Algorithm="{DS}enveloped-signature"/>'
exclusive = f'<ds:Transform Algorithm="{EXC}"/>'
xpath = f'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(ancestor-or-self::*[local-name()="Subject"])</ds:XPath></ds:Transform>'
evil("xpath_transform", okta(OKTA, "assertion", transforms=enveloped + xpath), "saml.c14n_unsupported")
evil("xpath_third_transform", okta(OKTA, "assertion", transforms=enveloped + xpath + exclusive), "saml.signature_shape")
evil("enveloped_only", okta(OKTA, "assertion", transforms=enveloped), "saml.signature_shape")
evil("not_enveloped", okta(OKTA, "assertion", transforms=exclusive + exclusive), "saml.transform_unsupported")
evil("digest_sha224", okta(OKTA, "assertion", digest=MORE + "sha224"), "saml.digest_algorithm_unsupported")
evil("signature_value_not_base64", A.replace("<ds:SignatureValue>", "<ds:SignatureValue>!"), "saml.signature_shape")
evil("inclusive_c14n", okta(OKTA, "assertion", c14n="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"), "saml.c14n_unsupported")
evil("reference_to_whole_document", A.replace('URI="#id3417891234567890123"', 'URI=""'), "saml.reference_mismatch")
evil("reference_to_other", A.replace('URI="#id3417891234567890123"', 'URI="#id9876543210987654321"'), "saml.reference_mismatch")
evil("reference_to_network", A.replace('URI="#id3417891234567890123"', 'URI="http://169.254.169.254/"'), "saml.reference_mismatch")
evil("reference_xpointer", A.replace('URI="#id3417891234567890123"', 'URI="#xpointer(id(\'id3417891234567890123\'))"'), "saml.reference_mismatch")
empty = base64.b64encode(hashlib.sha256(b"").digest()).decode()
def void_signed(extra):
    """The IdP's key over a SignedInfo whose digest is that of nothing."""
    info_template = A.replace(digest_value, f"<ds:DigestValue>{empty}</ds:DigestValue>").replace("<saml2:Assertion ", f"<saml2:Assertion {extra} ")
    inside = part(re.compile(r"<ds:SignedInfo>.*?</ds:SignedInfo>", re.S), info_template).replace("<ds:SignedInfo>", f'<ds:SignedInfo xmlns:ds="{DS}">')
    canonical = re.sub(r"<(ds|ec):(\w+)([^>]*)/>", r"<\1:\2\3></\1:\2>", inside).encode()
    canonical = canonical.replace(b' PrefixList="xs"', b' PrefixList="xs"')
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(OKTA.key)], input=canonical, capture_output=True, check=True).stdout
    return forge(info_template.replace(value, f"<ds:SignatureValue>{base64.b64encode(signed).decode()}</ds:SignatureValue>"))
evil("void_canonicalisation", void_signed('xmlns:v="1" v:a="b"'), "saml.relative_namespace")
evil("void_digest", void_signed(""), "saml.digest_mismatch")
evil("dtd", A.replace("<saml2p:Response", '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<saml2p:Response', 1), "saml.doctype_forbidden")
evil("processing_instruction", A.replace("<saml2:Subject>", "<?x y?><saml2:Subject>"), "saml.processing_instruction")
evil("other_encoding", A.replace('encoding="UTF-8"', 'encoding="UTF-7"'), "saml.encoding_unsupported")
evil("not_utf8", A.replace('encoding="UTF-8"', 'encoding="ISO-8859-1"').replace("Ada", "Ad\xe9").encode("latin-1"), "saml.not_utf8")
evil("utf16", A.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"), "saml.not_utf8")
evil("nul", A.replace("Ada", "A\0da"), "saml.nul_byte")
evil("truncated", A[: len(A) // 2], "saml.xml_malformed")
evil("two_roots", A + wrapped_r, "saml.xml_malformed")
evil("unknown_entity", A.replace("Ada", "&x;"), "saml.xml_malformed")
evil("duplicate_attribute", A.replace('Name="email"', 'Name="email" Name="email"'), "saml.xml_malformed")
evil("deep", A.replace("</saml2p:Response>", "<a>" * 60 + "</a>" * 60 + "</saml2p:Response>"), "saml.too_deep")
evil("nested_xmlns_flood", "".join(f'<a xmlns:n{i}="u:{i}">' for i in range(2000)) + "</a>" * 2000, "saml.too_deep")
evil("xmlns_flood", "<a>" + "".join(f'<a{"".join(f" xmlns:n{d}x{i}=%su:u%s" % (chr(34), chr(34)) for i in range(30))}>' for d in range(30)) + "</a>" * 31, "saml.too_many_namespaces")
evil("attribute_flood", "<a " + " ".join(f'a{i}=""' for i in range(5000)) + "/>", "saml.too_many_attributes")
evil("element_flood", "<a>" + "<a/>" * 12000 + "</a>", "saml.too_many_elements")
evil("oversized", "<a>" + "x" * (256 * 1024) + "</a>", "saml.too_large")
evil("not_a_response", part(ASSERTION, A), "saml.not_a_response")
evil("logout_response", A.replace("saml2p:Response", "saml2p:LogoutResponse"), "saml.not_a_response")
evil("encrypted", A.replace(assertion, '<saml2:EncryptedAssertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"/>'), "saml.encrypted_not_supported")
evil("encrypted_beside_plain", A.replace(assertion, assertion + '<saml2:EncryptedAssertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"/>'), "saml.encrypted_not_supported")
evil("no_assertion", A.replace(assertion, ""), "saml.assertion_missing")
evil("status_failed", A.replace(assertion, "").replace(SUCCESS, "urn:oasis:names:tc:SAML:2.0:status:Requester"), "saml.status_not_success")
shutil.rmtree(TMP)
