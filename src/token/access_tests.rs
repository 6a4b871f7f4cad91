use super::*;
use crate::{
    mint::{MintFault, MintSnapshot, ServiceSnapshot, mint_access, mint_id, mint_service, sign},
    signing_key::SigningKey,
    text::encode,
};
use aws_lc_rs::{digest, hmac};
use model::revocation::Action;
use serde_json::json;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ISSUER: &str = "https://id.example";

fn ring() -> KeyRing {
    ring_of(SigningAlg::Es256)
}

fn ring_of(alg: SigningAlg) -> KeyRing {
    KeyRing::new(vec![SigningKey::generate(alg).unwrap()], Vec::new())
}

fn signer(ring: &KeyRing) -> &SigningKey {
    &ring.signers()[0]
}

fn snapshot() -> MintSnapshot {
    let id = Uuid::from_u128(7);
    MintSnapshot {
        issuer: ISSUER.into(),
        audience: "https://api.example".into(),
        client_id: AppId::from_uuid(id),
        org: OrgId::from_uuid(id),
        user: UserId::from_uuid(id),
        session: SessionId::from_uuid(id),
        connection: ConnectionId::from_uuid(id),
        team_ids: vec![TeamId::from_uuid(id)],
        roles: vec!["admin".into()],
        scope: "openid".into(),
        acr: Some("mfa".into()),
        amr: vec!["otp".into()],
        auth_time: NOW.minus_secs(60),
        rs: 5,
        extra: Extra::default(),
        session_expires_at: NOW.plus_secs(3_600),
        nonce: Some("n-1".into()),
        email: Some("ada@example.com".into()),
        name: None,
        given_name: None,
        family_name: None,
    }
}

fn payload(jwt: &str) -> Map<String, Value> {
    object(jwt.split('.').nth(1).unwrap()).unwrap()
}

fn code(jwt: &str, ring: &KeyRing) -> &'static str {
    verify(jwt, ring, ISSUER, NOW).unwrap_err().code
}

#[test]
fn a_minted_token_says_the_contracts_claims_and_verifies() {
    let ring = ring();
    let token = mint_access(&snapshot(), signer(&ring), "jti-1", NOW, 300).unwrap();
    assert_eq!(token.expires_in_secs, 300);
    let mut names: Vec<_> = payload(&token.jwt).keys().cloned().collect();
    names.sort();
    let expected =
        "acr amr aud auth_time client_id con exp iat iss jti org_id roles rs scope sid sub team_ids";
    assert_eq!(names.join(" "), expected);
    let claims = verify(&token.jwt, &ring, ISSUER, NOW).unwrap();
    assert_eq!((claims.rs, claims.jti.as_str()), (5, "jti-1"));
    let Whose::Person(person) = claims.whose else { panic!("a person's") };
    assert_eq!((person.user, &person.team_ids), (snapshot().user, &snapshot().team_ids));
    assert!(!format!("{token:?}").contains('.'));
}

#[test]
fn what_upstream_did_not_say_is_absent_and_empty_lists_are_lists() {
    let ring = ring();
    let bare = MintSnapshot { acr: None, amr: vec![], team_ids: vec![], roles: vec![], ..snapshot() };
    let token = mint_access(&bare, signer(&ring), "j", NOW, 300).unwrap();
    let claims = payload(&token.jwt);
    assert!(!claims.contains_key("acr") && !claims.contains_key("amr"));
    assert_eq!((&claims["team_ids"], &claims["roles"]), (&json!([]), &json!([])));
    let Whose::Person(person) = verify(&token.jwt, &ring, ISSUER, NOW).unwrap().whose else {
        panic!("a person's")
    };
    assert_eq!((person.acr, person.amr.len()), (None, 0));
}

#[test]
fn a_token_dies_at_its_second_and_never_outlives_its_session() {
    let ring = ring();
    let token = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap();
    let last = NOW.plus_secs(300);
    assert!(verify(&token.jwt, &ring, ISSUER, Timestamp::from_micros(last.micros() - 1)).is_ok());
    assert_eq!(verify(&token.jwt, &ring, ISSUER, last).unwrap_err().code, "token.expired");

    let end = Timestamp::from_micros(NOW.plus_secs(10).micros() + 999_999);
    let short = MintSnapshot { session_expires_at: end, ..snapshot() };
    assert_eq!(mint_access(&short, signer(&ring), "j", NOW, 300).unwrap().expires_in_secs, 10);
    let over = MintSnapshot { session_expires_at: NOW, ..snapshot() };
    assert_eq!(mint_access(&over, signer(&ring), "j", NOW, 300).unwrap_err(), MintFault::SessionOver);
    assert_eq!(mint_access(&snapshot(), signer(&ring), "j", NOW, 0).unwrap_err(), MintFault::SessionOver);
}

#[test]
fn an_id_token_is_bound_to_its_access_token_and_is_not_one() {
    let ring = ring();
    let access = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap();
    let id = mint_id(&snapshot(), signer(&ring), &access, "k", NOW).unwrap();
    let claims = payload(&id);
    assert_eq!(claims["aud"], json!(snapshot().client_id.to_string()), "a single string");
    assert_eq!(claims["session_expiry"], json!(NOW.secs() + 3_600));
    assert_eq!((&claims["nonce"], &claims["email"]), (&json!("n-1"), &json!("ada@example.com")));
    assert!(!claims.contains_key("name"));
    let whole = digest::digest(&digest::SHA256, access.jwt.as_bytes());
    assert_eq!(claims["at_hash"], json!(encode(&whole.as_ref()[..16])));
    assert_eq!(code(&id, &ring), "token.header");
}

#[test]
fn each_algorithm_signs_verifies_and_hashes_by_its_own_rule() {
    for (alg, hash) in [
        (SigningAlg::Es256, &digest::SHA256),
        (SigningAlg::Rs256, &digest::SHA256),
        (SigningAlg::EdDsa, &digest::SHA512),
    ] {
        let ring = ring_of(alg);
        let access = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap();
        let header = object(access.jwt.split('.').next().unwrap()).unwrap();
        assert_eq!(header["alg"], alg.as_str());
        assert!(verify(&access.jwt, &ring, ISSUER, NOW).is_ok());
        let id = mint_id(&snapshot(), signer(&ring), &access, "k", NOW).unwrap();
        let whole = digest::digest(hash, access.jwt.as_bytes());
        let half = &whole.as_ref()[..whole.as_ref().len() / 2];
        assert_eq!(payload(&id)["at_hash"], json!(encode(half)), "{alg:?}");
    }
}

/// The header names the algorithm of another of our keys: the key's own counts, whoever signed.
#[test]
fn an_algorithm_of_another_key_type_is_refused() {
    let keys = SigningAlg::ALL.map(|alg| SigningKey::generate(alg).unwrap());
    let ring = KeyRing::new(keys.into(), Vec::new());
    for named in ring.signers() {
        for signing in ring.signers() {
            for said in SigningAlg::ALL {
                let token = mint_access(&snapshot(), signing, "j", NOW, 300).unwrap().jwt;
                let body = token.split('.').nth(1).unwrap();
                let header = json!({"alg": said.as_str(), "typ": "at+jwt", "kid": named.kid()}).to_string();
                let input = format!("{}.{body}", encode(header.as_bytes()));
                let signature = encode(&signing.sign(input.as_bytes()).unwrap());
                let judged =
                    verify(&format!("{input}.{signature}"), &ring, ISSUER, NOW).map_err(|no| no.code);
                match (said == named.alg(), named.kid() == signing.kid()) {
                    (true, true) => assert!(judged.is_ok()),
                    (true, false) => assert_eq!(judged, Err("token.signature")),
                    (false, _) => assert_eq!(judged, Err("token.header")),
                }
            }
        }
    }
}

#[test]
fn a_key_that_signs_no_more_verifies_while_it_is_in_the_ring() {
    let old = ring();
    let token = mint_access(&snapshot(), signer(&old), "j", NOW, 300).unwrap().jwt;
    let fresh = || vec![SigningKey::generate(SigningAlg::Es256).unwrap()];
    let retiring = KeyRing::new(fresh(), vec![signer(&old).public().clone()]);
    assert!(verify(&token, &retiring, ISSUER, NOW).is_ok());
    assert_eq!(code(&token, &KeyRing::new(fresh(), Vec::new())), "token.unknown_key");
}

#[test]
fn no_header_but_ours_is_read() {
    let ring = ring();
    let token = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap().jwt;
    let body = token.split('.').nth(1).unwrap();
    let kid = signer(&ring).kid();
    let signed = |header: Value| {
        let input = format!("{}.{body}", encode(header.to_string().as_bytes()));
        let signature = signer(&ring).sign(input.as_bytes()).unwrap();
        format!("{input}.{}", encode(&signature))
    };
    assert!(verify(&signed(json!({"alg":"ES256","typ":"at+jwt","kid":kid})), &ring, ISSUER, NOW).is_ok());
    for header in [
        json!({"alg":"none","typ":"at+jwt","kid":kid}),
        json!({"alg":"HS256","typ":"at+jwt","kid":kid}),
        json!({"alg":"es256","typ":"at+jwt","kid":kid}),
        json!({"alg":"ES256","typ":"JWT","kid":kid}),
        json!({"alg":"ES256","typ":"logout+jwt","kid":kid}),
        json!({"alg":"ES256","kid":kid}),
        json!({"alg":"ES256","typ":"at+jwt"}),
        json!({"alg":"ES256","typ":"at+jwt","kid":7}),
        json!({"alg":"ES256","typ":"at+jwt","kid":kid,"crit":["b64"]}),
        json!({"alg":"ES256","typ":"at+jwt","kid":kid,"jwk":signer(&ring).public().jwk()}),
        json!({"alg":"ES256","typ":"at+jwt","kid":kid,"jku":"https://evil.example/jwks"}),
        json!({"alg":"ES256","typ":"at+jwt","kid":kid,"x5u":"https://evil.example/x"}),
    ] {
        assert_eq!(code(&signed(header.clone()), &ring), "token.header", "{header}");
    }
    assert_eq!(
        code(&signed(json!({"alg":"ES256","typ":"at+jwt","kid":"other"})), &ring),
        "token.unknown_key"
    );
    let input = format!("{}.{body}", encode(br#"{"alg":"HS256","typ":"at+jwt"}"#));
    let public = signer(&ring).public().jwk().to_string();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), input.as_bytes());
    assert_eq!(code(&format!("{input}.{}", encode(mac.as_ref())), &ring), "token.header");
}

#[test]
fn a_member_that_is_named_twice_is_refused_whoever_signed() {
    let ring = ring();
    let token = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap().jwt;
    let text = |at: usize| String::from_utf8(decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap();
    let signed = |header: &str, claims: &str| {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = encode(&signer(&ring).sign(input.as_bytes()).unwrap());
        verify(&format!("{input}.{signature}"), &ring, ISSUER, NOW).map_err(|no| no.code)
    };
    let (header, claims) = (text(0), text(1));
    assert!(signed(&header, &claims).is_ok());
    let twice = |object: &str, member: &str| format!("{{{member},{}", &object[1..]);
    assert_eq!(signed(&twice(&header, r#""alg":"none""#), &claims).unwrap_err(), "token.malformed");
    assert_eq!(signed(&header, &twice(&claims, r#""rs":9"#)).unwrap_err(), "token.malformed");
}

#[test]
fn another_ring_or_a_changed_byte_is_refused() {
    let ours = ring();
    let token = mint_access(&snapshot(), signer(&ours), "j", NOW, 300).unwrap().jwt;
    assert_eq!(code(&token, &ring()), "token.unknown_key");
    assert_eq!(verify(&token, &ours, "https://other.example", NOW).unwrap_err().code, "token.issuer");
    for cut in 1..90 {
        assert!(verify(&token[..token.len() - cut], &ours, ISSUER, NOW).is_err(), "{cut}");
    }
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(&String::from_utf8(bytes).unwrap(), &ours, ISSUER, NOW).is_err(), "{at}");
    }
    for bad in ["", ".", "..", "...", "a.b", "e30.e30.", "e30.e30.e30.e30"] {
        assert!(verify(bad, &ours, ISSUER, NOW).is_err(), "{bad}");
    }
    assert_eq!(code(&format!("{token}="), &ours), "token.malformed");
    assert_eq!(code(&"a".repeat(TOKEN_BYTES_MAX + 1), &ours), "token.too_long");
    assert_eq!(code(&"a".repeat(TOKEN_BYTES_MAX), &ours), "token.malformed");
}

#[test]
fn a_claim_of_a_wrong_type_is_refused_never_absent() {
    let ring = ring();
    let token = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap().jwt;
    let good = payload(&token);
    let changed = |name: &str, value: Option<Value>| {
        let mut claims = good.clone();
        match value {
            Some(value) => claims.insert(name.into(), value),
            None => claims.remove(name),
        };
        verify(&sign("at+jwt", &claims, signer(&ring)).unwrap(), &ring, ISSUER, NOW)
    };
    for name in ["exp", "iat", "auth_time", "rs"] {
        for bad in [json!("1800000300"), json!(1.8e9), json!(-1), json!(null), json!([1]), json!(u64::MAX)] {
            let refusal = changed(name, Some(bad.clone())).unwrap_err();
            assert_eq!(refusal, wrong(name), "{name} {bad}");
        }
    }
    for name in ["iss", "sub", "aud", "client_id", "jti", "sid", "scope", "acr", "org_id", "con"] {
        for bad in [json!(1), json!(null), json!(["x"]), json!({})] {
            assert_eq!(changed(name, Some(bad.clone())).unwrap_err(), wrong(name), "{name} {bad}");
        }
    }
    for name in ["team_ids", "roles", "amr"] {
        for bad in [json!("x"), json!(null), json!([1]), json!({})] {
            assert_eq!(changed(name, Some(bad.clone())).unwrap_err(), wrong(name), "{name} {bad}");
        }
    }
    for name in good.keys().filter(|name| !["acr", "amr"].contains(&name.as_str())) {
        assert_eq!(changed(name, None).unwrap_err().code, "token.claim", "{name}");
    }
    assert!(changed("sub", Some(json!("org_00000000000000000000000007"))).is_err(), "kinds do not mix");
    assert!(changed("exp", Some(json!(NOW.secs()))).is_err(), "exp at iat");
}

fn of_a_service(ring: &KeyRing) -> String {
    let id = Uuid::from_u128(7);
    let snapshot = ServiceSnapshot {
        issuer: ISSUER,
        audience: "https://api.example",
        org: OrgId::from_uuid(id),
        service: ServiceId::from_uuid(id),
        roles: &["viewer".to_owned()],
        rs: 5,
        extra: &Extra::default(),
    };
    mint_service(&snapshot, signer(ring), "jti-1", NOW, 300).unwrap().jwt
}

#[test]
fn a_service_accounts_token_is_its_own_shape_and_no_persons() {
    let ring = ring();
    let token = of_a_service(&ring);
    let mut names: Vec<_> = payload(&token).keys().cloned().collect();
    names.sort();
    assert_eq!(names.join(" "), "aud client_id exp iat iss jti org_id roles rs sub team_ids");
    let service = ServiceId::from_uuid(Uuid::from_u128(7));
    let claims = verify(&token, &ring, ISSUER, NOW).unwrap();
    assert_eq!((claims.whose, claims.rs), (Whose::Service(service), 5));
    let changed = |name: &str, value: Value| {
        let mut claims = payload(&token);
        claims.insert(name.into(), value);
        verify(&sign("at+jwt", &claims, signer(&ring)).unwrap(), &ring, ISSUER, NOW)
    };
    let id = Uuid::from_u128(7);
    for (name, bad) in [
        ("client_id", json!(AppId::from_uuid(id))),
        ("client_id", json!(ServiceId::from_uuid(Uuid::from_u128(8)))),
        ("team_ids", json!([TeamId::from_uuid(id)])),
        ("sid", json!(SessionId::from_uuid(id))),
        ("con", json!(ConnectionId::from_uuid(id))),
        ("auth_time", json!(NOW.secs())),
        ("acr", json!("mfa")),
        ("amr", json!(["otp"])),
        ("scope", json!("openid")),
    ] {
        assert_eq!(changed(name, bad.clone()).unwrap_err(), wrong(name), "{name} {bad}");
    }
    // As a person's it lacks everything.
    assert!(changed("sub", json!(UserId::from_uuid(id))).is_err());
}

#[test]
fn what_an_app_has_chosen_stands_in_the_token_or_is_left_out_by_name() {
    let ring = ring();
    let minted = |extra: Extra| {
        let token = mint_access(&MintSnapshot { extra, ..snapshot() }, signer(&ring), "j", NOW, 300).unwrap();
        assert!(token.jwt.len() <= TOKEN_BYTES_MAX);
        let id = mint_id(&snapshot(), signer(&ring), &token, "k", NOW).unwrap();
        assert!(!payload(&id).contains_key("permissions"), "of the access token alone");
        (payload(&token.jwt), verify(&token.jwt, &ring, ISSUER, NOW).unwrap().extra)
    };
    let plan = Map::from_iter([("plan".to_owned(), json!("pro")), ("seats".to_owned(), json!(5))]);
    let all = Extra {
        team_slugs: Some(vec!["ops".into()]),
        permissions: Some(vec!["org:read".into()]),
        entitlements: Some(plan),
        omitted: None,
    };
    let (said, read) = minted(all.clone());
    assert_eq!((&said["team_slugs"], &said["entitlements"]["seats"]), (&json!(["ops"]), &json!(5)));
    assert_eq!(read, all);
    let long = Extra { team_slugs: Some(vec!["x".repeat(63); 200]), ..all };
    let (said, read) = minted(long);
    assert_eq!(said["claims_omitted"], json!(["entitlements", "permissions", "team_slugs"]));
    assert!(read.team_slugs.is_none() && !said.contains_key("permissions"), "all or none");
    let good = payload(&mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap().jwt);
    for name in ["team_slugs", "permissions", "entitlements", "claims_omitted"] {
        assert!(!good.contains_key(name));
        for bad in [json!("x"), json!(null), json!([1]), json!(1)] {
            let mut claims = good.clone();
            claims.insert(name.into(), bad.clone());
            let jwt = sign("at+jwt", &claims, signer(&ring)).unwrap();
            assert_eq!(verify(&jwt, &ring, ISSUER, NOW).unwrap_err(), wrong(name), "{name} {bad}");
        }
    }
}

#[test]
fn a_token_dies_by_each_scope_it_names() {
    let ring = ring();
    let person = mint_access(&snapshot(), signer(&ring), "j", NOW, 300).unwrap().jwt;
    for token in [person, of_a_service(&ring)] {
        dies_by_each_scope(&verify(&token, &ring, ISSUER, NOW).unwrap());
    }
}

fn dies_by_each_scope(claims: &AccessClaims) {
    for scope in claims.scopes() {
        for action in [Action::Terminate, Action::Reassert] {
            assert!(claims.is_dead(&[Watermark { scope, seq: 6, action }]), "{scope} {action}");
            assert!(!claims.is_dead(&[Watermark { scope, seq: 5, action }]), "{scope} {action}");
        }
    }
    let other = Scope::User(UserId::from_uuid(Uuid::from_u128(8)));
    assert!(!claims.is_dead(&[Watermark { scope: other, seq: 9, action: Action::Terminate }]));
}
