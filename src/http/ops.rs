//! Is the process alive, can it serve, and what does it publish for machines: health, readiness,
//! discovery, keys.

use super::{DoorKind, Entry, Made::Plain, grant::Grant};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, Data},
};
use broker::Gateway;
use model::SigningAlg;
use serde_json::json;
use store::Months;
use token::{client_keys::ClientAlg, key_life::JWKS_MAX_AGE_SECS, signing_key::SigningKey};

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::GET,
        path: "/healthz",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(healthz)),
    },
    Entry {
        method: Method::GET,
        path: "/readyz",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(readyz)),
    },
    Entry {
        method: Method::GET,
        path: "/.well-known/openid-configuration",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(discovery)),
    },
    Entry {
        method: Method::GET,
        path: "/.well-known/oauth-authorization-server",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(discovery)),
    },
    Entry {
        method: Method::GET,
        path: "/oauth2/jwks",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(jwks)),
    },
];

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// A line each for Postgres, Redis, the signing keys and the record's months. Without Redis we still
/// serve, slower; without the next month too, but somebody must look. Keys that could be withdrawn by now
/// sign nothing.
async fn readyz(gw: Data<Gateway>) -> HttpResponse {
    let months = gw.db.audit_months(gw.now()).await.ok();
    let redis = match &gw.live {
        Some(live) => live.ping().await.is_ok(),
        None => false,
    };
    let (state, serves) = readiness(months.filter(|_| !gw.keys.is_stale()), redis);
    let keys = gw.keys.now();
    let signs = |key: &SigningKey| format!("{} {}", key.alg().as_str(), key.kid());
    let keys: Vec<String> = keys.signers().iter().map(signs).collect();
    let body = format!(
        "{state}\npostgres: {}\nredis: {}\nsigning keys: {}{}\naudit months ahead: {}\n",
        if months.is_some() { "ok" } else { "unreachable" },
        if redis { "ok" } else { "unreachable" },
        keys.join(", "),
        if gw.keys.is_stale() { " (not asked about lately)" } else { "" },
        months.map_or_else(|| "unknown".to_owned(), |months| months.ahead.to_string()),
    );
    let mut response = if serves { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.content_type("text/plain; charset=utf-8").insert_header(("Cache-Control", "no-store")).body(body)
}

/// The word for it, and whether we serve. `months` is none when Postgres does not answer, now or about the keys.
fn readiness(months: Option<Months>, redis: bool) -> (&'static str, bool) {
    match months {
        None => ("down", false),
        Some(months) if !redis || months.ahead < 1 => ("degraded", true),
        Some(_) => ("ready", true),
    }
}

/// By what an app proves itself; a public client only at the token endpoint and when it gives a token back.
const AUTH_METHODS: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
const CONFIDENTIAL: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// OpenID Connect Discovery 1.0 and RFC 8414: the same document at both places.
async fn discovery(gw: Data<Gateway>) -> HttpResponse {
    let at = |path: &str| gw.links.at(path);
    let algorithms = ClientAlg::NAMES;
    HttpResponse::Ok().insert_header(("Cache-Control", "public, max-age=300")).json(json!({
        "issuer": gw.links.issuer(),
        "authorization_endpoint": at("/oauth2/authorize"),
        "token_endpoint": at("/oauth2/token"),
        "jwks_uri": at("/oauth2/jwks"),
        "userinfo_endpoint": at("/oauth2/userinfo"),
        "introspection_endpoint": at("/oauth2/introspect"),
        "revocation_endpoint": at("/oauth2/revoke"),
        "end_session_endpoint": at("/oauth2/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": Grant::ALL.map(Grant::as_str),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": SigningAlg::ALL,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "scopes_supported": super::signin::SCOPES,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "email",
            "name", "given_name", "family_name", "org_id", "team_ids", "roles", "session_expiry", "team_slugs",
            "permissions", "entitlements"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
    }))
}

/// The keys of this node, answered while Postgres is away too: what it signed is verified still.
async fn jwks(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let keys = gw.keys.now();
    let known = |tag: &str| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == keys.etag();
    let asked = req.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    // RFC 9110 13.1.2: a weak comparison, over a list.
    let unchanged = asked.flat_map(|list| list.split(',')).any(known);
    let mut answer = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header(("Cache-Control", format!("public, max-age={JWKS_MAX_AGE_SECS}")))
        .insert_header((header::ETAG, keys.etag()));
    if unchanged {
        answer.finish()
    } else {
        answer.content_type("application/json").body(keys.jwks().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_postgres_redis_and_a_month_ahead() {
        let months = |ahead| Some(Months { ahead, caught_bytes: 0 });
        assert_eq!(readiness(months(1), true), ("ready", true));
        assert_eq!(readiness(months(0), true), ("degraded", true));
        assert_eq!(readiness(months(1), false), ("degraded", true));
        assert_eq!(readiness(None, true), ("down", false));
    }
}
