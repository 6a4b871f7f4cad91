//! What a token costs, against the one thing nobody can leave out: minting against the raw ES256
//! signature of as many bytes, verifying against the raw verification. Prints medians in microseconds:
//! `cargo bench -p vestibule-token`.
#![allow(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

mod median;

use aws_lc_rs::{
    rand,
    signature::{self, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use median::median;
use model::{
    SigningAlg, Timestamp,
    ids::{AppId, ConnectionId, OrgId, SessionId, TeamId, UserId},
};
use std::hint::black_box;
use uuid::Uuid;
use vestibule_token::{
    access,
    extra::Extra,
    key_ring::KeyRing,
    mint::{MintSnapshot, mint_access, mint_id},
    signing_key::SigningKey,
};

const ROUNDS: usize = 5_000;

fn snapshot(now: Timestamp) -> MintSnapshot {
    let id = Uuid::from_u128;
    MintSnapshot {
        issuer: "https://auth.example.com".to_owned(),
        audience: "https://app.example.com".to_owned(),
        client_id: AppId::from_uuid(id(1)),
        org: OrgId::from_uuid(id(2)),
        user: UserId::from_uuid(id(3)),
        session: SessionId::from_uuid(id(4)),
        connection: ConnectionId::from_uuid(id(5)),
        team_ids: (6..10).map(|n| TeamId::from_uuid(id(n))).collect(),
        roles: vec!["admin".to_owned(), "member".to_owned()],
        scope: "openid profile email offline_access".to_owned(),
        acr: Some("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned()),
        amr: vec!["pwd".to_owned(), "mfa".to_owned()],
        auth_time: now,
        rs: 42,
        extra: Extra::default(),
        session_expires_at: now.plus_secs(3_600),
        nonce: Some("n-0S6_WzA2Mj".to_owned()),
        email: Some("ada@example.com".to_owned()),
        name: Some("Ada Lovelace".to_owned()),
        given_name: Some("Ada".to_owned()),
        family_name: Some("Lovelace".to_owned()),
    }
}

fn main() {
    let now = Timestamp::parse_rfc3339("2026-11-21T10:00:05Z").unwrap();
    let (snapshot, key) = (snapshot(now), SigningKey::generate(SigningAlg::Es256).unwrap());
    let minted = mint_access(&snapshot, &key, "evt_1", now, 300).unwrap();
    let (chance, raw) = (
        rand::SystemRandom::new(),
        EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    );
    let input = minted.jwt.rsplit_once('.').unwrap().0.as_bytes();
    let signed = raw.sign(&chance, input).unwrap();
    let public = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, raw.public_key());

    println!("{:<28}{:>12}{:>12}{:>9}", "token", "floor us", "ours us", "x floor");
    let sign = median(ROUNDS, || {
        black_box(raw.sign(&chance, input).unwrap());
    });
    line(
        "access token, minted",
        sign,
        median(ROUNDS, || drop(black_box(mint_access(&snapshot, &key, "evt_1", now, 300)))),
    );
    line(
        "id token, minted",
        sign,
        median(ROUNDS, || drop(black_box(mint_id(&snapshot, &key, &minted, "evt_1", now)))),
    );
    let verify = median(ROUNDS, || public.verify(input, signed.as_ref()).unwrap());
    let ring = KeyRing::new(vec![key], Vec::new());
    let ours = median(ROUNDS, || {
        black_box(access::verify(&minted.jwt, &ring, "https://auth.example.com", now).unwrap());
    });
    line("access token, verified", verify, ours);
}

fn line(name: &str, floor: f64, ours: f64) {
    println!("{name:<28}{floor:>12.1}{ours:>12.1}{:>9.2}", ours / floor);
}
