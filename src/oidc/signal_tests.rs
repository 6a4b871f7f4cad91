use super::*;
use crate::{signed::KEYS_TRIED_MAX, strict::encode};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;

const AT: i64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::from_secs(AT);
const ISSUER: &str = "https://idp.example";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

struct Idp(EcdsaKeyPair);

impl Idp {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }
    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]), "kid": "k1"})
    }
    fn jwks(&self) -> Jwks {
        Jwks::parse(json!({"keys": [self.jwk()]}).to_string().as_bytes()).unwrap()
    }
    fn sign(&self, header: &Value, claims: &str) -> String {
        let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.as_bytes()));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", encode(signature.as_ref()))
    }
}

/// One of the three readers, with what it takes as honest.
struct Reader {
    typ: &'static str,
    honest: Value,
    read: fn(&str, &Jwks) -> Result<(), Refusal>,
}

const EXPECTED: Expected<'static> = Expected { issuer: ISSUER, audiences: &["us"] };

fn readers() -> [Reader; 3] {
    let base = |more: Value| {
        let mut claims = json!({"iss": ISSUER, "aud": "us", "iat": AT, "jti": "j1"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    [
        Reader {
            typ: "logout+jwt",
            honest: base(json!({"exp": AT + 120, "sub": "u", "events": {LOGOUT_EVENT: {}}})),
            read: |jwt, jwks| logout_token(jwt, jwks, EXPECTED, NOW).map(drop),
        },
        Reader {
            typ: "global-token-revocation+jwt",
            honest: base(json!({"exp": AT + 300, "sub": "client"})),
            read: |jwt, jwks| revocation_token(jwt, jwks, EXPECTED, Some("client"), NOW).map(drop),
        },
        Reader {
            typ: "secevent+jwt",
            honest: base(
                json!({"sub_id": {"format": "email", "email": "a@b.example"}, "events": {CAEP: {}}}),
            ),
            read: |jwt, jwks| event_token(jwt, jwks, EXPECTED, NOW).map(drop),
        },
    ]
}

fn changed(honest: &Value, name: &str, value: Value) -> Value {
    let mut claims = honest.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn code(read: Result<(), Refusal>) -> &'static str {
    read.err().map_or("", |refusal| refusal.code)
}

/// CVE-2026-18569 (Keycloak took logout tokens with alg none), and its kin, at each of the readers.
#[test]
fn cve_2026_18569_no_header_opens_a_signal_that_no_key_has_signed() {
    let (idp, stranger) = (Idp::new(), Idp::new());
    for Reader { typ, honest, read } in readers() {
        let claims = honest.to_string();
        let good = json!({"alg": "ES256", "typ": typ, "kid": "k1"});
        assert_eq!(code(read(&idp.sign(&good, &claims), &idp.jwks())), "", "{typ}");
        let upper = json!({"alg": "ES256", "typ": format!("application/{}", typ.to_uppercase())});
        assert_eq!(code(read(&idp.sign(&upper, &claims), &idp.jwks())), "", "{typ}: a media type");
        let with = |name: &str, value: Value| {
            let mut header = good.clone();
            header[name] = value;
            header
        };
        for bad in [
            with("alg", json!("none")),
            with("alg", json!("HS256")),
            with("alg", json!("XX")),
            with("alg", json!(1)),
            with("typ", json!("JWT")),
            with("typ", json!("at+jwt")),
            with("typ", json!("dpop+jwt")),
            with("crit", json!(["exp"])),
            with("jwk", stranger.jwk()),
            with("jku", json!("https://evil.example/jwks")),
            with("x5u", json!("https://evil.example/x")),
            with("b64", json!(false)),
            json!({"typ": typ}),
        ] {
            assert_eq!(code(read(&idp.sign(&bad, &claims), &idp.jwks())), "signals.header", "{typ} {bad}");
        }
        // Without a signature, by a stranger's, by an HMAC of the public key, and by another name of a key.
        let signed = idp.sign(&good, &claims);
        let (input, _) = signed.rsplit_once('.').unwrap();
        assert_eq!(code(read(&format!("{input}."), &idp.jwks())), "signals.signature");
        assert_eq!(code(read(&stranger.sign(&good, &claims), &idp.jwks())), "signals.signature");
        let key = hmac::Key::new(hmac::HMAC_SHA256, idp.0.public_key().as_ref());
        let tag = encode(hmac::sign(&key, input.as_bytes()).as_ref());
        assert_eq!(code(read(&format!("{input}.{tag}"), &idp.jwks())), "signals.signature");
        assert_eq!(
            code(read(&idp.sign(&with("kid", json!("k2")), &claims), &idp.jwks())),
            "signals.signature"
        );
        for bad in ["", "a.b", "a.b.c", "....", &"x".repeat(20_000), &format!("{signed}=")] {
            assert_eq!(code(read(bad, &idp.jwks())), "signals.malformed", "{typ}");
        }
        let twice = claims.replacen('{', r#"{"iss":"https://evil.example","#, 1);
        assert_eq!(code(read(&idp.sign(&good, &twice), &idp.jwks())), "signals.malformed", "a member twice");
    }
}

/// Each key is a check that a stranger may ask for: of many, a token that names none has a few tried.
#[test]
fn of_many_keys_a_token_names_its_own() {
    let idp = Idp::new();
    let mut keys: Vec<Value> =
        (0..KEYS_TRIED_MAX).map(|n| changed(&Idp::new().jwk(), "kid", json!(format!("o{n}")))).collect();
    keys.push(idp.jwk());
    let jwks = |keys: &[Value]| Jwks::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    for Reader { typ, honest, read } in readers() {
        let claims = honest.to_string();
        let named = idp.sign(&json!({"alg": "ES256", "typ": typ, "kid": "k1"}), &claims);
        let nameless = idp.sign(&json!({"alg": "ES256", "typ": typ}), &claims);
        assert_eq!(code(read(&named, &jwks(&keys))), "");
        assert_eq!(code(read(&nameless, &jwks(&keys))), "signals.signature");
        assert_eq!(code(read(&nameless, &jwks(&keys[1..]))), "");
    }
}

/// CVE-2026-25537: a claim of a wrong type is a refusal, and never absent.
#[test]
fn cve_2026_25537_every_claim_has_its_one_type_and_its_bounds() {
    let idp = Idp::new();
    for Reader { typ, honest, read } in readers() {
        let header = json!({"alg": "ES256", "typ": typ, "kid": "k1"});
        let judge = |claims: &Value| code(read(&idp.sign(&header, &claims.to_string()), &idp.jwks()));
        let mut cases = vec![
            ("iss", json!("https://evil.example"), "signals.issuer"),
            ("iss", json!(["https://idp.example"]), "oidc.claim"),
            ("iss", Value::Null, "oidc.claim"),
            ("aud", json!("them"), "signals.audience"),
            ("aud", json!(["them", "others"]), "signals.audience"),
            ("aud", json!({"us": true}), "oidc.claim"),
            ("aud", json!(["us", 1]), "oidc.claim"),
            ("aud", Value::Null, "signals.audience"),
            ("iat", json!("1800000000"), "oidc.claim"),
            ("iat", json!(1.8e9), "oidc.claim"),
            ("iat", json!(-1), "oidc.claim"),
            ("iat", Value::Null, "oidc.claim"),
            ("iat", json!(AT * 1_000), "signals.issued_in_future"),
            ("iat", json!(AT + 61), "signals.issued_in_future"),
            ("nbf", json!(AT + 61), "signals.issued_in_future"),
            ("nbf", json!("soon"), "oidc.claim"),
            ("iat", json!(0), "signals.expired"),
            ("jti", Value::Null, "oidc.claim"),
            ("jti", json!(""), "oidc.claim"),
            ("jti", json!(7), "oidc.claim"),
            ("jti", json!("j".repeat(257)), "oidc.claim"),
        ];
        let of_events = [
            ("sub", json!("u"), "oidc.claim"),
            ("exp", json!(AT + 300), "oidc.claim"),
            ("sub_id", Value::Null, "signals.subject"),
            ("sub_id", json!("u"), "signals.subject"),
            ("events", Value::Null, "oidc.claim"),
            ("events", json!({}), "signals.event"),
            ("events", json!({CAEP: {}, "https://x.example/y": {}}), "signals.event"),
            ("events", json!({CAEP: true}), "signals.event"),
            ("events", json!([CAEP]), "oidc.claim"),
            ("iat", json!(AT - EVENT_AGE_SECS_MAX - SKEW_SECS), "signals.expired"),
        ];
        let of_others = [
            ("exp", Value::Null, "oidc.claim"),
            ("exp", json!("never"), "oidc.claim"),
            ("exp", json!(AT - SKEW_SECS), "signals.expired"),
            ("sub", json!(7), "oidc.claim"),
            ("sub", json!(""), "oidc.claim"),
            ("iat", json!(AT - AGE_SECS_MAX - SKEW_SECS), "signals.expired"),
        ];
        match typ {
            "secevent+jwt" => cases.extend(of_events),
            _ => cases.extend(of_others),
        }
        match typ {
            "logout+jwt" => cases.extend([
                ("nonce", json!("n"), "signals.nonce"),
                ("events", Value::Null, "oidc.claim"),
                ("events", json!({CAEP: {}}), "signals.event"),
                ("events", json!({LOGOUT_EVENT: true}), "signals.event"),
                ("sub", Value::Null, "signals.subject"),
                ("sid", json!(["s"]), "oidc.claim"),
            ]),
            "global-token-revocation+jwt" => cases.extend([
                ("sub", json!("another client"), "signals.subject"),
                ("sub", Value::Null, "signals.subject"),
            ]),
            _ => {}
        }
        for (name, value, wanted) in cases {
            assert_eq!(judge(&changed(&honest, name, value.clone())), wanted, "{typ} {name} {value}");
        }
        for (name, value) in [("aud", json!(["them", "us"])), ("iat", json!(AT + 60)), ("nbf", json!(AT))] {
            assert_eq!(judge(&changed(&honest, name, value.clone())), "", "{typ} {name} {value}");
        }
    }
}

#[test]
fn a_logout_token_may_lack_its_typ_and_names_a_person_a_session_or_both() {
    let (idp, [logout, revocation, event]) = (Idp::new(), readers());
    let bare = json!({"alg": "ES256", "kid": "k1"});
    for (reader, wanted) in [(&logout, ""), (&revocation, "signals.header"), (&event, "signals.header")] {
        let jwt = idp.sign(&bare, &reader.honest.to_string());
        assert_eq!(code((reader.read)(&jwt, &idp.jwks())), wanted, "{}", reader.typ);
    }
    let both = changed(&logout.honest, "sid", json!("s"));
    let (about, once) =
        logout_token(&idp.sign(&bare, &both.to_string()), &idp.jwks(), EXPECTED, NOW).unwrap();
    let who = Some(Who::IssSub { iss: ISSUER.into(), sub: "u".into() });
    assert_eq!(about, About { who, session: Some("s".into()) });
    assert!(once.until >= NOW.plus_secs(AGE_SECS_MAX + SKEW_SECS), "remembered while it could be believed");
    let alone = changed(&both, "sub", Value::Null);
    let (about, _) = logout_token(&idp.sign(&bare, &alone.to_string()), &idp.jwks(), EXPECTED, NOW).unwrap();
    assert_eq!(about, About { who: None, session: Some("s".into()) });
}

#[test]
fn a_subject_is_read_whole_or_not_at_all() {
    let idp = Idp::new();
    let [_, _, event] = readers();
    let header = json!({"alg": "ES256", "typ": "secevent+jwt"});
    let about = |subject: Value| {
        let claims = changed(&event.honest, "sub_id", subject).to_string();
        event_token(&idp.sign(&header, &claims), &idp.jwks(), EXPECTED, NOW).unwrap().about
    };
    let user = json!({"format": "iss_sub", "iss": "i", "sub": "u"});
    let who = Some(Who::IssSub { iss: "i".into(), sub: "u".into() });
    assert_eq!(about(user.clone()), Some(About { who: who.clone(), session: None }));
    let opaque = json!({"format": "opaque", "id": "x"});
    let session = Some("x".to_owned());
    assert_eq!(
        about(json!({"format": "complex", "user": user, "session": opaque})),
        Some(About { who: who.clone(), session: session.clone() })
    );
    assert_eq!(about(json!({"format": "complex", "session": opaque})), Some(About { who: None, session }));
    for unread in [
        json!({"format": "phone_number", "phone_number": "+1"}),
        json!({"format": "iss_sub", "iss": "i"}),
        json!({"format": "email", "email": ""}),
        json!({"format": "email", "email": "a\0b"}),
        json!({"id": "x"}),
        json!({"format": "complex", "device": opaque}),
        json!({"format": "complex", "user": user, "session": {"format": "email", "email": "a@b.example"}}),
        json!({"format": "complex", "user": user, "session": {"format": "?"}}),
        json!({"format": "complex", "user": user, "session": "x"}),
        json!({"format": "complex", "user": "u", "session": opaque}),
    ] {
        assert_eq!(about(unread.clone()), None, "{unread}");
    }
}

#[test]
fn a_revocations_body_has_one_subject_of_a_known_format() {
    let read = |text: &str| revocation_body(text.as_bytes()).map_err(|refusal| refusal.code);
    assert_eq!(
        read(r#"{"sub_id":{"format":"email","email":"a@b.example"}}"#),
        Ok(Who::Email("a@b.example".into()))
    );
    assert_eq!(read(r#"{"sub_id":{"format":"opaque","id":"00u1"}}"#), Ok(Who::Opaque("00u1".into())));
    let long = format!(r#"{{"sub_id":{{"format":"opaque","id":"x"}},"pad":"{}"}}"#, "x".repeat(9_000));
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"sub_id":"x"}"#,
        r#"{"sub_id":{"format":"uid","id":"x"}}"#,
        r#"{"sub_id":{"format":"opaque","id":"x"},"sub_id":{"format":"opaque","id":"y"}}"#,
        &long,
    ] {
        assert_eq!(read(bad), Err("signals.body"), "{bad}");
    }
}

#[test]
fn only_what_is_known_to_end_something_does() {
    let idp = Idp::new();
    let [_, _, event] = readers();
    let header = json!({"alg": "ES256", "typ": "secevent+jwt"});
    let happened = |uri: &str| {
        let claims = changed(&event.honest, "events", json!({uri: {}})).to_string();
        event_token(&idp.sign(&header, &claims), &idp.jwks(), EXPECTED, NOW).unwrap().happened
    };
    for (uri, cause) in ENDING {
        assert_eq!(happened(uri), Happened::Ended(cause));
    }
    assert_eq!(happened(VERIFICATION), Happened::Verification);
    for other in ["https://schemas.openid.net/secevent/risc/event-type/account-enabled", LOGOUT_EVENT, "x"] {
        assert_eq!(happened(other), Happened::Other, "{other}");
    }
}
