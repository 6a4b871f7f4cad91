//! What `states.rs` expects: which door answers what, in each state an org can be in. To be read as a table.

pub const STATES: [&str; 6] = ["trial", "active", "past_due", "suspended", "deleted", "purged"];

/// What answers, by state in the order of `STATES`. A suspended org's directory provisions and its
/// administrator administers; nobody signs in, and no token works. A deleted one is its operator's alone.
#[rustfmt::skip]
pub const TABLE: &[(&str, [&str; 6])] = &[
    ("Org: the org's key",        ["served", "served", "served", "served", "404 not_found", "404 not_found"]),
    ("Org: the platform's key",   ["served", "served", "served", "served", "404 not_found", "404 not_found"]),
    ("Platform, on an org",       ["served", "served", "served", "served", "404 not_found", "404 not_found"]),
    ("Scim",                      ["served", "served", "served", "served", "401", "401"]),
    ("restore",                   ["409 org.not_deleted", "409 org.not_deleted", "409 org.not_deleted", "409 org.not_deleted", "200", "404 not_found"]),
    ("delete",                    ["204", "204", "204", "204", "404 not_found", "404 not_found"]),
    ("GET /oauth2/authorize",     ["to the provider", "to the provider", "to the provider", "access_denied not_found", "access_denied not_found", "access_denied not_found"]),
    ("POST /oauth2/authorize",    ["to the provider", "to the provider", "to the provider", "access_denied not_found", "access_denied not_found", "access_denied not_found"]),
    ("authorize, with a session", ["code", "code", "code", "access_denied not_found", "access_denied not_found", "access_denied not_found"]),
    ("authorize, by email",       ["to the provider", "to the provider", "to the provider", "200", "200", "200"]),
    ("assertion consumer",        ["code", "code", "code", "404 org.suspended", "404 not_found", "404 not_found"]),
    ("SAML metadata",             ["200", "200", "200", "404 org.suspended", "404 not_found", "404 not_found"]),
    ("OIDC callback",             ["400 login.attempt_unknown", "400 login.attempt_unknown", "400 login.attempt_unknown", "404 org.suspended", "404 not_found", "404 not_found"]),
    ("OIDC tile, at SAML's",      ["404 not_found", "404 not_found", "404 not_found", "404 org.suspended", "404 not_found", "404 not_found"]),
    ("token, by code",            ["200", "200", "200", "400 invalid_grant", "400 invalid_grant", "400 invalid_grant"]),
    ("token, by refresh token",   ["200", "200", "200", "400 invalid_grant", "400 invalid_grant", "400 invalid_grant"]),
    ("introspect",                ["active", "active", "active", "inactive", "inactive", "inactive"]),
    ("GET /oauth2/userinfo",      ["200", "200", "200", "401 token.revoked", "401 token.revoked", "401 token.revoked"]),
    ("POST /oauth2/userinfo",     ["200", "200", "200", "401 token.revoked", "401 token.revoked", "401 token.revoked"]),
    ("revoke",                    ["200", "200", "200", "200", "200", "200"]),
    ("leaving",                   ["200", "200", "200", "200", "200", "200"]),
    ("leaving, confirmed",        ["200", "200", "200", "200", "200", "200"]),
    ("sign-out",                  ["200", "200", "200", "200", "200", "200"]),
];

/// Routes that are of no org.
pub const OF_NO_ORG: &[&str] = &[
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/oauth-authorization-server",
    "GET /oauth2/jwks",
    "GET /logout",
    "GET /assets/style.css",
    "GET /assets/continue.js",
    "GET /api/openapi.json",
    "GET /api/v1/revocations",
    "GET /api/v1/roles",
    "GET /api/v1/webhook-event-types",
    "POST /api/v1/orgs",
    "GET /api/v1/orgs",
    "POST /api/v1/apps",
    "GET /api/v1/apps",
    "GET /api/v1/apps/{app}",
    "PATCH /api/v1/apps/{app}",
    "DELETE /api/v1/apps/{app}",
    "POST /api/v1/apps/{app}/rotate-secret",
    "GET /api/v1/platform-keys",
    "DELETE /api/v1/platform-keys/{key}",
    "GET /scim/v2/ServiceProviderConfig",
    "GET /scim/v2/ResourceTypes",
    "GET /scim/v2/ResourceTypes/{id}",
    "GET /scim/v2/Schemas",
    "GET /scim/v2/Schemas/{id}",
    "GET /orgs/{slug}/scim/v2/ServiceProviderConfig",
    "GET /orgs/{slug}/scim/v2/ResourceTypes",
    "GET /orgs/{slug}/scim/v2/ResourceTypes/{id}",
    "GET /orgs/{slug}/scim/v2/Schemas",
    "GET /orgs/{slug}/scim/v2/Schemas/{id}",
];
