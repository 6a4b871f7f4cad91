//! Tokens that are not ours, or not of this kind, or not quite, at the three doors that read a signed token:
//! userinfo, introspection, and the hint of whoever leaves. Those that only a stolen key could sign are signed
//! by our own, so that it is the judge that refuses them and not the signature.

use crate::house::{
    House, Tenant, house,
    walk::{claims, is_active, text, tokens},
};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::SigningAlg;
use serde_json::{Value, json};
use token::signing_key::SigningKey;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs these very texts as a JWS, by ES256.
fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let der = key.to_pkcs8().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.reveal()).unwrap();
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", encode(signature))
}

/// The error that userinfo names for it; introspection and the hint have to refuse it as well.
async fn refused(house: &House, tenant: &Tenant, jwt: &str) -> String {
    hint_refused(house, jwt).await;
    refused_at_userinfo(house, tenant, jwt).await
}

async fn refused_at_userinfo(house: &House, tenant: &Tenant, jwt: &str) -> String {
    let sent = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(jwt).send().await.unwrap();
    let status = sent.status().as_u16();
    let said: Value = sent.json().await.unwrap();
    assert_eq!((status, &said["error"]), (401, &json!("invalid_token")), "{said}");
    assert!(!is_active(house, tenant, jwt).await);
    text(&said, "error_description").to_owned()
}

async fn hint_refused(house: &House, jwt: &str) {
    let url = house.url(&format!("/oauth2/logout?id_token_hint={jwt}"));
    assert_eq!(house.http.get(url).send().await.unwrap().status(), 400, "{jwt}");
}

/// Our own key, whose tokens are not to be had from outside.
fn own_key(house: &House) -> SigningKey {
    let ring = house.gw.keys.now();
    let der = ring.signer(SigningAlg::Es256).unwrap().to_pkcs8().unwrap();
    SigningKey::from_pkcs8(SigningAlg::Es256, &der).unwrap()
}

#[tokio::test]
async fn a_header_that_is_not_ours_opens_no_door_whoever_signed() {
    let house = house();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let said = claims(text(&given, "access_token")).to_string();
    let (own, stranger) = (own_key(house), SigningKey::generate(SigningAlg::Es256).unwrap());
    let (kid, theirs) = (own.kid(), stranger.public().jwk());
    let good = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    assert!(
        is_active(house, &tenant, &signed(&own, &good.to_string(), &said)).await,
        "the forger's hand is good"
    );
    let with = |name: &str, value: Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    let strange = [
        with("alg", json!("none")),
        with("alg", json!("None")),
        with("alg", json!("HS256")),
        with("alg", json!("RS256")),
        with("alg", json!("EdDSA")),
        with("alg", json!("ES384")),
        with("alg", json!("es256")),
        with("alg", json!(["ES256"])),
        with("alg", json!(null)),
        with("typ", json!("JWT")),
        with("typ", json!("logout+jwt")),
        with("typ", json!("secevent+jwt")),
        with("typ", json!("dpop+jwt")),
        with("typ", json!("AT+JWT")),
        with("typ", json!(null)),
        with("kid", json!(7)),
        with("kid", json!(null)),
        with("crit", json!(["exp"])),
        with("b64", json!(false)),
        with("zip", json!("DEF")),
        with("jwk", theirs.clone()),
        with("jwk", own.public().jwk()),
        with("jku", json!("http://localhost:1/jwks")),
        with("x5u", json!("http://localhost:1/cert")),
        with("x5c", json!(["MIIB"])),
        with("x5t#S256", json!("AAAA")),
        with("cty", json!("JWT")),
        json!({"alg": "ES256", "typ": "at+jwt"}),
        json!({"alg": "ES256", "kid": kid}),
        json!({"typ": "at+jwt", "kid": kid}),
    ];
    let id_said = claims(text(&given, "id_token")).to_string();
    for header in strange {
        let mut hinting = header.clone();
        if hinting["typ"] == "at+jwt" {
            hinting["typ"] = json!("JWT");
        }
        // As a hint the header of an ID token is right: nothing else of these is.
        if header["typ"] != "JWT" {
            hint_refused(house, &signed(&own, &hinting.to_string(), &id_said)).await;
        }
        let header = header.to_string();
        for key in [&own, &stranger] {
            let why = refused_at_userinfo(house, &tenant, &signed(key, &header, &said)).await;
            assert_eq!(why, "token.header", "{header}");
        }
    }
    let told = good.to_string();
    assert_eq!(refused(house, &tenant, &signed(&stranger, &told, &said)).await, "token.signature");
    let unknown = with("kid", json!(stranger.kid())).to_string();
    assert_eq!(refused(house, &tenant, &signed(&stranger, &unknown, &said)).await, "token.unknown_key");
    for path in ["../../dev/null", "' OR 1=1 --", "http://localhost:1/key", ""] {
        let header = with("kid", json!(path)).to_string();
        assert_eq!(
            refused(house, &tenant, &signed(&own, &header, &said)).await,
            "token.unknown_key",
            "{path}"
        );
    }
    let twice = told.replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(refused(house, &tenant, &signed(&own, &twice, &said)).await, "token.malformed");
    for header in ["[]", "null", "\"ES256\"", "{", ""] {
        assert_eq!(
            refused(house, &tenant, &signed(&own, header, &said)).await,
            "token.malformed",
            "{header}"
        );
    }
    assert!(is_active(house, &tenant, text(&given, "access_token")).await, "none of it ended the session");
    let hint = signed(&own, &with("typ", json!("JWT")).to_string(), &id_said);
    let url = house.url(&format!("/oauth2/logout?id_token_hint={hint}"));
    assert_eq!(house.http.get(url).send().await.unwrap().status(), 200, "nor is the forger's hint bad");
}

#[tokio::test]
async fn our_public_key_is_no_secret_to_sign_by_and_no_signature_is_none() {
    let house = house();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let own = own_key(house);
    let body = encode(claims(text(&given, "access_token")).to_string());
    let jwk = own.public().jwk();
    let point = ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(text(&jwk, name)).unwrap()).concat();
    let jwks = house.http.get(house.url("/oauth2/jwks")).send().await.unwrap().text().await.unwrap();
    let secrets =
        [jwk.to_string().into_bytes(), point.clone(), [&[4][..], &point].concat(), jwks.into_bytes(), vec![]];
    for typ in ["at+jwt", "JWT"] {
        for alg in ["HS256", "ES256"] {
            let input =
                format!("{}.{body}", encode(json!({"alg": alg, "typ": typ, "kid": own.kid()}).to_string()));
            for secret in &secrets {
                let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
                refused(house, &tenant, &format!("{input}.{}", encode(mac))).await;
            }
            // CVE-2022-21449: r and s of zero.
            for none in [String::new(), encode([0; 64]), encode([0; 32]), encode([0xff; 64])] {
                refused(house, &tenant, &format!("{input}.{none}")).await;
            }
        }
        let input = format!("{}.{body}", encode(json!({"alg": "none", "typ": typ}).to_string()));
        for token in [format!("{input}."), input] {
            refused(house, &tenant, &token).await;
        }
    }
}

#[tokio::test]
async fn a_claim_of_a_wrong_type_or_named_twice_is_no_claim() {
    let house = house();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let own = own_key(house);
    for (name, typ) in [("access_token", "at+jwt"), ("id_token", "JWT")] {
        let header = json!({"alg": "ES256", "typ": typ, "kid": own.kid()}).to_string();
        let good = claims(text(&given, name));
        let mut cases = vec![
            ("iss", json!(["http://localhost"])),
            ("iss", json!("https://evil.example")),
            ("aud", json!([good["aud"]])),
            ("aud", json!({})),
            ("sub", json!(7)),
            ("sub", json!(null)),
            ("sub", good["org_id"].clone()),
            ("sid", json!(true)),
            ("org_id", json!([good["org_id"]])),
            ("client_id", json!(1)),
        ];
        if typ == "at+jwt" {
            let more =
                [("exp", json!("9999999999")), ("exp", json!(1e12)), ("exp", json!(-1)), ("exp", json!(1))];
            cases.extend(more);
            cases.extend([("rs", json!("1")), ("roles", json!("admin")), ("scope", json!(["openid"]))]);
        }
        for (member, value) in cases {
            let mut said = good.clone();
            said[member] = value.clone();
            let jwt = signed(&own, &header, &said.to_string());
            let why = refused(house, &tenant, &jwt).await;
            let right = ["token.claim", "token.issuer", "token.expired", "token.header"];
            assert!(right.contains(&why.as_str()), "{member} {value}: {why}");
        }
        let twice = good.to_string().replacen('{', r#"{"sub":"usr_00000000000000000000000001","#, 1);
        refused(house, &tenant, &signed(&own, &header, &twice)).await;
        for said in ["[]", "null", "7", "{", ""] {
            refused(house, &tenant, &signed(&own, &header, said)).await;
        }
    }
}
