//! Whom the verifier believes: a table of everything that is not an access token of this issuer for
//! this audience, alive now.

use crate::fake::{
    Gateway,
    tokens::{self, Signer, b64, claims, now},
};
use serde_json::{Value, json};
use vestibule_verifier::{Denied, Fault, Quota, TOKEN_BYTES_MAX, Verifier, testing};

async fn fault(verifier: &Verifier, token: &str) -> Fault {
    match verifier.verify(token).await {
        Err(Denied::Token(fault)) => fault,
        other => panic!("{other:?} for {token}"),
    }
}

#[tokio::test]
async fn a_good_token_gives_its_claims_by_each_algorithm_and_spelling() {
    let gateway = Gateway::start().await;
    let signers = [Signer::es256("es"), Signer::eddsa("ed"), Signer::rs256("rs")];
    gateway.set(|state| state.keys = signers.iter().map(Signer::jwk).collect());
    let verifier = gateway.verifier().await;
    for signer in &signers {
        for typ in ["at+jwt", "application/at+jwt"] {
            for aud in [json!("app_1"), json!(["app_2", "app_1"])] {
                let mut header = signer.header();
                header["typ"] = json!(typ);
                let said = claims(&gateway.base, json!({"aud": aud}));
                let token = signer.raw(&header.to_string(), &said.to_string());
                for _ in 0..2 {
                    let claims = verifier.verify(&token).await.unwrap();
                    assert_eq!(
                        (claims.sub(), claims.org_id(), claims.client_id()),
                        ("usr_1", "org_1", "app_1")
                    );
                    assert_eq!(
                        (claims.sid(), claims.con(), claims.jti()),
                        (Some("ses_1"), Some("con_1"), "evt_1")
                    );
                    assert_eq!(
                        (claims.rs(), claims.acr(), claims.scope()),
                        (5, Some("phr"), "openid profile")
                    );
                    assert_eq!(
                        (claims.team_ids(), claims.roles()),
                        (&["team_1".into()][..], &["admin".into()][..])
                    );
                    assert_eq!(claims.exp() - claims.iat(), 300);
                    assert_eq!(claims.auth_time(), Some(claims.iat() - 60));
                    assert_eq!((claims.amr().len(), claims.actor()), (2, None));
                    assert!(
                        claims.has_scope("profile") && !claims.has_scope("prof") && claims.has_role("admin")
                    );
                }
            }
        }
    }
    assert_eq!(verifier.health().keys, 3);
    let bare = json!({"acr": null, "amr": null, "scope": null});
    let person = verifier.verify(&signers[0].token(&claims(&gateway.base, bare))).await.unwrap();
    assert!(!person.is_service() && person.acr().is_none() && person.scope().is_empty());
    let acting = signers[0].token(&claims(&gateway.base, json!({"act": {"sub": "usr_2"}})));
    assert_eq!(verifier.verify(&acting).await.unwrap().actor(), Some("usr_2"));
}

/// What a service account's token says; a claim of a person's makes it nobody's.
#[tokio::test]
async fn a_service_accounts_token_is_its_own_shape_and_no_persons() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let with = |name: &str, value: Value| {
        let mut said = json!({"sub": "svc_1", "client_id": "svc_1", "team_ids": [], "sid": null, "con": null,
                              "auth_time": null, "acr": null, "amr": null, "scope": null});
        said[name] = value;
        gateway.token(said)
    };
    let service = verifier.verify(&with("roles", json!(["viewer"]))).await.unwrap();
    assert!(service.is_service() && service.has_role("viewer"));
    assert_eq!((service.sub(), service.client_id(), service.scope()), ("svc_1", "svc_1", ""));
    assert_eq!((service.sid(), service.con(), service.auth_time(), service.acr()), (None, None, None, None));
    for (name, bad) in [
        ("client_id", json!("app_1")),
        ("team_ids", json!(["team_1"])),
        ("sid", json!("ses_1")),
        ("con", json!("con_1")),
        ("auth_time", json!(now())),
        ("acr", json!("mfa")),
        ("amr", json!(["otp"])),
        ("scope", json!("openid")),
        ("act", json!({"sub": "usr_1"})),
    ] {
        assert_eq!(fault(&verifier, &with(name, bad)).await, Fault::Claim(name), "{name}");
    }
    // And a person's does without none of theirs.
    for name in ["sid", "con"] {
        assert_eq!(
            fault(&verifier, &gateway.token(json!({ name: null }))).await,
            Fault::Claim(name),
            "{name}"
        );
    }
}

#[tokio::test]
async fn only_an_access_tokens_header_counts() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let payload = claims(&gateway.base, json!({})).to_string();
    let with = |name: &str, value: Value| {
        let mut header = gateway.signer.header();
        header[name] = value;
        header.to_string()
    };
    let without = |name: &str| {
        let mut header = gateway.signer.header();
        header.as_object_mut().unwrap().remove(name);
        header.to_string()
    };
    let own = Signer::es256("k1");
    let headers = [
        with("alg", json!("none")),
        with("alg", json!("None")),
        with("alg", json!("HS256")),
        with("alg", json!("RS256")),
        with("alg", json!("EdDSA")),
        with("alg", json!("es256")),
        with("alg", json!(["ES256"])),
        with("alg", json!(null)),
        with("typ", json!("JWT")),
        with("typ", json!("logout+jwt")),
        with("typ", json!("secevent+jwt")),
        with("typ", json!("token-introspection+jwt")),
        with("typ", json!("at+jwt ")),
        with("typ", json!(1)),
        with("kid", json!(1)),
        with("crit", json!(["exp"])),
        with("crit", json!([])),
        with("jwk", own.jwk()),
        with("jku", json!("https://evil.example/jwks")),
        with("x5u", json!("https://evil.example/cert")),
        with("x5c", json!(["MIIB"])),
        with("zip", json!("DEF")),
        with("b64", json!(false)),
        with("cty", json!("JWT")),
        without("alg"),
        without("typ"),
        without("kid"),
    ];
    for header in headers {
        // Signed by the right key: the header alone is at fault.
        let token = gateway.signer.raw(&header, &payload);
        assert_eq!(fault(&verifier, &token).await, Fault::Header, "{header}");
    }
    let twice = r#"{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"k1"}"#;
    assert_eq!(fault(&verifier, &gateway.signer.raw(twice, &payload)).await, Fault::Malformed);
    let foreign = Signer::es256("stranger").raw(&with("kid", json!("stranger")), &payload);
    assert_eq!(fault(&verifier, &foreign).await, Fault::UnknownKey);
    assert_eq!(
        fault(&verifier, &own.raw(&gateway.signer.header().to_string(), &payload)).await,
        Fault::Signature
    );
}

/// The public key's bytes as a secret of HMAC, and a key used by another algorithm than its own.
#[tokio::test]
async fn a_key_is_used_as_it_says_itself() {
    let gateway = Gateway::start().await;
    let rsa = Signer::rs256("r");
    let ec = Signer::es256("e");
    gateway.set(|state| state.keys = vec![rsa.jwk(), ec.jwk()]);
    let verifier = gateway.verifier().await;
    let payload = b64(claims(&gateway.base, json!({})).to_string().as_bytes());
    for (kid, secret) in [("r", rsa.jwk()["n"].to_string()), ("e", ec.jwk()["x"].to_string())] {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}).to_string();
        let input = format!("{}.{payload}", b64(header.as_bytes()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        assert_eq!(fault(&verifier, &format!("{input}.{}", b64(tag.as_ref()))).await, Fault::Header);
    }
    let crossed = json!({"alg": "ES256", "typ": "at+jwt", "kid": "r"}).to_string();
    let token = ec.raw(&crossed, &claims(&gateway.base, json!({})).to_string());
    assert_eq!(fault(&verifier, &token).await, Fault::Header);
    let unsigned = json!({"alg": "none", "typ": "at+jwt", "kid": "e"}).to_string();
    assert_eq!(fault(&verifier, &format!("{}.{payload}.", b64(unsigned.as_bytes()))).await, Fault::Header);
}

/// A second spelling of a token would be a second token of the same meaning.
#[tokio::test]
async fn bytes_have_one_spelling() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let token = gateway.token(json!({}));
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    // 64 bytes leave four unused bits in the last character: another of the sixteen says the same bytes.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let unused = format!("{}{}", &signature[..signature.len() - 1], &alphabet[last + 1..last + 2]);
    let bad = [
        format!("{token}="),
        format!("{token}AAA"),
        format!("{token}."),
        format!("{token}\n"),
        format!(" {token}"),
        format!(".{token}"),
        format!("{header}.{payload}.{unused}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.x.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "/",
        header.to_owned(),
        "..".to_owned(),
        String::new(),
        "\u{1f}é".to_owned(),
    ];
    for token in bad {
        assert_eq!(fault(&verifier, &token).await, Fault::Malformed, "{token}");
    }
    assert_eq!(fault(&verifier, &format!("{header}.{payload}.")).await, Fault::Signature);
    assert_eq!(fault(&verifier, &format!("{token}A")).await, Fault::Signature, "one byte more");
    assert_eq!(fault(&verifier, &format!("{header}.{payload}.{}", &signature[..84])).await, Fault::Signature);
    let other = gateway.token(json!({"sub": "usr_2"}));
    let swapped = format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap());
    assert_eq!(fault(&verifier, &swapped).await, Fault::Signature);
    assert_eq!(fault(&verifier, &"x".repeat(TOKEN_BYTES_MAX)).await, Fault::Malformed);
    assert_eq!(fault(&verifier, &"x".repeat(TOKEN_BYTES_MAX + 1)).await, Fault::TooLong);
    assert!(verifier.verify(&token).await.is_ok(), "the token itself is good");
}

/// CVE-2026-25537: a claim of a wrong type was read as none at all.
#[tokio::test]
async fn a_claim_of_a_wrong_type_is_an_error_and_never_absent() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let header = gateway.signer.header().to_string();
    let sign = |name: &str, value: &str| {
        let mut said = claims(&gateway.base, json!({}));
        said.as_object_mut().unwrap().remove(name);
        let text = said.to_string();
        gateway.signer.raw(&header, &format!("{},\"{name}\":{value}}}", text.strip_suffix('}').unwrap()))
    };
    let now = now();
    let not_text = ["1", "null", "true", "[]", "[\"usr_1\"]", "{}", "\"\\u0000\""];
    let not_whole =
        ["\"300\"", "1.5", "300.0", "3e2", "-1", "null", "true", "[]", "[300]", "{}", "18446744073709551616"];
    let not_texts = ["\"admin\"", "null", "1", "{}", "[1]", "[null]", "[[\"admin\"]]", "true"];
    for (name, bad) in [
        ("sub", &not_text[..]),
        ("org_id", &not_text),
        ("client_id", &not_text),
        ("sid", &not_text),
        ("con", &not_text),
        ("jti", &not_text),
        ("iss", &not_text),
        ("scope", &not_text),
        ("acr", &not_text),
        ("exp", &not_whole),
        ("iat", &not_whole),
        ("nbf", &not_whole),
        ("auth_time", &not_whole),
        ("rs", &not_whole),
        ("team_ids", &not_texts),
        ("roles", &not_texts),
        ("amr", &not_texts),
        ("aud", &["1", "null", "true", "{}", "[1]", "[\"app_1\",null]"]),
        ("act", &["\"usr_2\"", "null", "[]", "{}", "{\"sub\":1}", "{\"sub\":\"\"}"]),
    ] {
        for value in bad {
            let found = fault(&verifier, &sign(name, value)).await;
            assert_eq!(found, Fault::Claim(name), "{name}: {value}");
        }
        let overflow = fault(&verifier, &sign(name, "1e400")).await;
        assert!(matches!(overflow, Fault::Malformed | Fault::Claim(_)), "{name}: 1e400 gives {overflow:?}");
        let twice = sign(name, &format!("1,\"{name}\":1"));
        assert_eq!(fault(&verifier, &twice).await, Fault::Malformed, "{name} twice");
    }
    for name in ["sub", "org_id", "client_id", "sid", "con", "jti"] {
        assert_eq!(fault(&verifier, &sign(name, "\"\"")).await, Fault::Claim(name), "{name} empty");
    }
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "org_id", "team_ids", "roles", "rs"] {
        let token = gateway.token(json!({ name: null }));
        assert_eq!(fault(&verifier, &token).await, Fault::Claim(name), "{name} missing");
    }
    // Milliseconds, where seconds belong.
    for (name, right) in [("exp", now + 300), ("auth_time", now)] {
        let token = gateway.token(json!({ name: right * 1_000 }));
        assert_eq!(fault(&verifier, &token).await, Fault::Claim(name), "{name} in milliseconds");
    }
    let millis = gateway.token(json!({"iat": now * 1_000, "exp": (now + 300) * 1_000}));
    assert!(matches!(fault(&verifier, &millis).await, Fault::Claim("exp") | Fault::NotYet));
    let day = gateway.token(json!({"iat": now, "exp": now + 86_401}));
    assert_eq!(fault(&verifier, &day).await, Fault::Claim("exp"), "no access token lives longer than a day");
    assert!(verifier.verify(&gateway.token(json!({"exp": now + 86_400}))).await.is_ok());
    assert_eq!(fault(&verifier, &gateway.token(json!({"exp": now, "iat": now}))).await, Fault::Claim("exp"));
    for payload in ["[]", "1", "null", "\"x\"", "", "{", "{}{}"] {
        let token = gateway.signer.raw(&header, payload);
        assert_eq!(fault(&verifier, &token).await, Fault::Malformed, "{payload}");
    }
}

#[tokio::test]
async fn whose_for_whom_and_when() {
    let gateway = Gateway::start().await;
    let verifier = gateway.builder().leeway_secs(0).start().await.unwrap();
    let now = now();
    let issuer = gateway.base.clone();
    let table = [
        (json!({"iss": format!("{issuer}/")}), Fault::Issuer),
        (json!({"iss": issuer.to_uppercase()}), Fault::Issuer),
        (json!({"iss": "https://evil.example"}), Fault::Issuer),
        (json!({"aud": "app_2"}), Fault::Audience),
        (json!({"aud": "app_11"}), Fault::Audience),
        (json!({"aud": ["app_2", "APP_1"]}), Fault::Audience),
        (json!({"aud": []}), Fault::Audience),
        (json!({"aud": vec!["app_1"; 17]}), Fault::Claim("aud")),
        (json!({"exp": now, "iat": now - 300}), Fault::Expired),
        (json!({"exp": now - 1, "iat": now - 300}), Fault::Expired),
        (json!({"iat": now + 60}), Fault::NotYet),
        (json!({"nbf": now + 60}), Fault::NotYet),
        (json!({"cnf": {"jkt": "x"}}), Fault::Bound),
        (json!({"cnf": 1}), Fault::Bound),
    ];
    for (more, expected) in table {
        assert_eq!(fault(&verifier, &gateway.token(more.clone())).await, expected, "{more}");
    }
    assert!(verifier.verify(&gateway.token(json!({"nbf": now, "aud": vec!["app_1"; 16]}))).await.is_ok());
    let lenient = gateway.builder().leeway_secs(60).start().await.unwrap();
    let late = gateway.token(json!({"iat": now - 300, "exp": now - 30}));
    assert!(lenient.verify(&late).await.is_ok());
    assert_eq!(fault(&verifier, &late).await, Fault::Expired);
    assert!(lenient.verify(&gateway.token(json!({"iat": now + 30}))).await.is_ok());
    let later = gateway.token(json!({"iat": now - 300, "exp": now - 61}));
    assert_eq!(fault(&lenient, &later).await, Fault::Expired);
}

/// What was good once is judged again: the memory is of the signature alone.
#[tokio::test]
async fn a_remembered_token_expires_on_its_second() {
    let gateway = Gateway::start().await;
    let verifier = gateway.builder().leeway_secs(0).start().await.unwrap();
    let exp = tokens::now() + 2;
    let token = gateway.token(json!({ "exp": exp }));
    let claims = verifier.verify(&token).await.unwrap();
    assert_eq!(verifier.health().cached_tokens, 1);
    while tokens::now() < exp {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(fault(&verifier, &token).await, Fault::Expired);
    assert_eq!(verifier.check(&claims), Err(Denied::Token(Fault::Expired)));
    let none = gateway.builder().cached_tokens_max(0).start().await.unwrap();
    assert!(none.verify(&gateway.token(json!({}))).await.is_ok());
    assert_eq!(none.health().cached_tokens, 0);
    let few = gateway.builder().cached_tokens_max(10).start().await.unwrap();
    for n in 0..100 {
        assert!(few.verify(&gateway.token(json!({"jti": n.to_string()}))).await.is_ok());
        assert!(few.health().cached_tokens <= 10);
    }
}

#[test]
fn what_an_app_has_chosen_is_read_by_type_and_what_it_has_not_is_not_told() {
    let plain = testing::claims("{}").unwrap();
    assert_eq!((plain.team_slugs(), plain.permissions(), plain.plan()), (None, None, None));
    assert!(
        plain.quota("seats").is_none()
            && !plain.has_permission("org:read")
            && plain.claims_omitted().is_empty()
    );
    let chosen = testing::claims(
        r#"{"team_slugs": ["ops"], "permissions": ["org:read"], "claims_omitted": ["x"],
            "entitlements": {"plan": "pro", "seats": 25, "teams": null}}"#,
    );
    let chosen = chosen.unwrap();
    assert_eq!(chosen.team_slugs().unwrap(), ["ops"]);
    assert!(chosen.has_permission("org:read") && !chosen.has_permission("org:write"));
    assert_eq!((chosen.plan(), chosen.claims_omitted()), (Some("pro"), &["x".to_owned()][..]));
    assert_eq!(chosen.quota("seats"), Some(Quota::AtMost(25)));
    assert_eq!((chosen.quota("teams"), chosen.quota("keys")), (Some(Quota::Unbounded), None));
    for (wrong, name) in [
        (r#"{"team_slugs": "ops"}"#, "team_slugs"),
        (r#"{"permissions": [1]}"#, "permissions"),
        (r#"{"permissions": null}"#, "permissions"),
        (r#"{"entitlements": []}"#, "entitlements"),
        (r#"{"entitlements": {"plan": 1}}"#, "entitlements"),
        (r#"{"entitlements": {"seats": "25"}}"#, "entitlements"),
        (r#"{"entitlements": {"seats": -1}}"#, "entitlements"),
        (r#"{"claims_omitted": {}}"#, "claims_omitted"),
    ] {
        assert_eq!(testing::claims(wrong), Err(Fault::Claim(name)), "{wrong}");
    }
}
