//! The modules of the OpenID conformance suite for Basic, Form Post, Config, RP-Initiated and Back-Channel OP, by
//! their own names and in their own order, as black-box tests of this house. A module that the suite itself skips
//! for a provider like this one stands here with its reason. What the design demands beyond the suite: PKCE, of
//! everybody, so every request here carries it and `oidcc-server` sees that one without is refused.

mod asked;
mod at;
mod basic;
mod logout;
mod shown;

use crate::house::house;
use Said::{Differs, NotApplicable, Passed};
use at::{At, Mode};

/// What became of a module.
enum Said {
    Passed,
    NotApplicable(&'static str),
    /// The design says otherwise than the suite, and is what is held to.
    Differs(&'static str),
}

/// The Basic plan's, which are the Form Post plan's too.
const BASIC: [&str; 37] = [
    "oidcc-server",
    "oidcc-response-type-missing",
    "oidcc-idtoken-signature",
    "oidcc-idtoken-unsigned",
    "oidcc-userinfo-get",
    "oidcc-userinfo-post-header",
    "oidcc-userinfo-post-body",
    "oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
    "oidcc-scope-profile",
    "oidcc-scope-email",
    "oidcc-scope-address",
    "oidcc-scope-phone",
    "oidcc-scope-all",
    "oidcc-alternate-happy-flow",
    "oidcc-display-page",
    "oidcc-display-popup",
    "oidcc-prompt-login",
    "oidcc-prompt-none-not-logged-in",
    "oidcc-prompt-none-logged-in",
    "oidcc-max-age-1",
    "oidcc-max-age-10000",
    "oidcc-ensure-request-with-unknown-parameter-succeeds",
    "oidcc-id-token-hint",
    "oidcc-login-hint",
    "oidcc-ui-locales",
    "oidcc-claims-locales",
    "oidcc-ensure-request-with-acr-values-succeeds",
    "oidcc-codereuse",
    "oidcc-codereuse-30seconds",
    "oidcc-ensure-registered-redirect-uri",
    "oidcc-ensure-post-request-succeeds",
    "oidcc-server-client-secret-post",
    "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
    "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
    "oidcc-claims-essential",
    "oidcc-ensure-request-object-with-redirect-uri",
    "oidcc-refresh-token",
];
/// The last of both.
const PKCE: &str = "oidcc-ensure-request-with-valid-pkce-succeeds";
const CONFIG: [&str; 1] = ["oidcc-discovery-endpoint-verification"];
const RP_INITIATED: [&str; 11] = [
    "oidcc-rp-initiated-logout-discovery-endpoint-verification",
    "oidcc-rp-initiated-logout",
    "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-modified-id-token-hint",
    "oidcc-rp-initiated-logout-no-id-token-hint",
    "oidcc-rp-initiated-logout-no-params",
    "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-no-state",
    "oidcc-rp-initiated-logout-only-state",
    "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-bad-id-token-hint",
];
const BACK_CHANNEL: [&str; 2] =
    ["oidcc-backchannel-logout-discovery-endpoint-verification", "oidcc-backchannel-rp-initiated-logout"];

const NO_SCOPE: &str =
    "`scopes_supported` does not name it: no provider upstream is asked for it, so there is nothing to tell";

async fn module(name: &str, mode: Mode) -> Said {
    let at = At::new(house(), mode).await;
    match name {
        "oidcc-server" => basic::server(&at).await,
        "oidcc-response-type-missing" => asked::response_type_missing(&at).await,
        "oidcc-idtoken-signature" => basic::id_token_signature(&at).await,
        "oidcc-idtoken-unsigned" => {
            return NotApplicable("`id_token_signing_alg_values_supported` has no `none`");
        }
        "oidcc-userinfo-get" => basic::userinfo(&at, "GET").await,
        "oidcc-userinfo-post-header" => basic::userinfo(&at, "POST").await,
        "oidcc-userinfo-post-body" => basic::userinfo_by_body(&at).await,
        "oidcc-ensure-request-without-nonce-succeeds-for-code-flow" => asked::no_nonce(&at).await,
        "oidcc-scope-profile" => {
            basic::scope(&at, "openid profile", &["name", "given_name", "family_name"]).await;
        }
        "oidcc-scope-email" => basic::scope(&at, "openid email", &["email"]).await,
        "oidcc-scope-address" | "oidcc-scope-phone" | "oidcc-scope-all" => return NotApplicable(NO_SCOPE),
        "oidcc-alternate-happy-flow" => basic::scope(&at, "email openid", &["email"]).await,
        "oidcc-display-page" => asked::not_minded(&at, ("display", "page")).await,
        "oidcc-display-popup" => asked::not_minded(&at, ("display", "popup")).await,
        "oidcc-prompt-login" => shown::signs_in_anew(&at, ("prompt", "login")).await,
        "oidcc-prompt-none-not-logged-in" => shown::nobody_there(&at).await,
        "oidcc-prompt-none-logged-in" => shown::silently(&at, &[("prompt", "none")]).await,
        "oidcc-max-age-1" => shown::signs_in_anew(&at, ("max_age", "1")).await,
        "oidcc-max-age-10000" => shown::silently(&at, &[("max_age", "10000")]).await,
        "oidcc-ensure-request-with-unknown-parameter-succeeds" => {
            asked::not_minded(&at, ("extra", "foobar")).await;
        }
        "oidcc-id-token-hint" => shown::silently(&at, &[("prompt", "none"), ("id_token_hint", "")]).await,
        "oidcc-login-hint" => asked::not_minded(&at, ("login_hint", "buffy@localhost")).await,
        "oidcc-ui-locales" => asked::not_minded(&at, ("ui_locales", "se")).await,
        "oidcc-claims-locales" => asked::not_minded(&at, ("claims_locales", "se")).await,
        "oidcc-ensure-request-with-acr-values-succeeds" => {
            asked::contexts(&at).await;
            return Differs(
                "a context that no provider gave is an error to the app, never a lesser sign-in (RFC 9470 5)",
            );
        }
        "oidcc-codereuse" => basic::code_reused(&at, 0).await,
        "oidcc-codereuse-30seconds" => basic::code_reused(&at, 30).await,
        "oidcc-ensure-registered-redirect-uri" => asked::foreign_redirect_uri(&at).await,
        "oidcc-ensure-post-request-succeeds" => asked::by_post(&at).await,
        "oidcc-server-client-secret-post" => basic::client_secret_post(&at).await,
        "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported" => {
            asked::request_object(&at, "request_uri").await;
        }
        "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported" => {
            asked::request_object(&at, "request").await;
        }
        "oidcc-claims-essential" => {
            asked::not_minded(&at, ("claims", r#"{"userinfo":{"name":{"essential":true}}}"#)).await;
            return NotApplicable(
                "`claims_parameter_supported` is false: left out, and no error; `profile` gives it",
            );
        }
        "oidcc-ensure-request-object-with-redirect-uri" => asked::request_object_elsewhere(&at).await,
        "oidcc-refresh-token" => basic::refresh_token(&at).await,
        PKCE => basic::pkce(&at).await,
        "oidcc-discovery-endpoint-verification" => logout::discovery(&at).await,
        "oidcc-rp-initiated-logout-discovery-endpoint-verification"
        | "oidcc-backchannel-logout-discovery-endpoint-verification" => logout::discovery(&at).await,
        "oidcc-backchannel-rp-initiated-logout" => logout::back_channel(&at).await,
        _ => match name.strip_prefix("oidcc-rp-initiated-logout") {
            Some(kind) => logout::leaves(&at, kind).await,
            None => panic!("{name} is run by nothing"),
        },
    }
    Passed
}

/// How many passed, do not apply, and differ.
type Count = [usize; 3];

async fn told(name: &str, mode: Mode) -> Count {
    match module(name, mode).await {
        Passed => {
            println!("  passed  {name}");
            [1, 0, 0]
        }
        NotApplicable(why) => {
            println!("  n/a     {name}: {why}");
            [0, 1, 0]
        }
        Differs(why) => {
            println!("  differs {name}: {why}");
            [0, 0, 1]
        }
    }
}

fn sum(one: Count, other: Count) -> Count {
    std::array::from_fn(|at| one[at] + other[at])
}

/// One after the other; those that only wait do so beside them.
async fn plan(title: &str, mode: Mode, names: &[&str]) -> Count {
    println!("{title}");
    let (waiting, busy): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.ends_with("seconds"));
    let one_by_one = async |names: Vec<&str>| {
        let mut count = [0; 3];
        for name in names {
            count = sum(count, told(name, mode).await);
        }
        count
    };
    let (one, other) = tokio::join!(one_by_one(busy), one_by_one(waiting));
    let count = sum(one, other);
    assert_eq!(count.iter().sum::<usize>(), names.len());
    let [passed, not_applicable, differ] = count;
    println!("modules: {passed} passed, {not_applicable} not applicable, {differ} differ by design");
    count
}

#[tokio::test]
async fn the_modules_of_the_basic_plan() {
    let names = [&BASIC[..], &[PKCE]].concat();
    assert_eq!(plan("Basic OP", Mode::Query, &names).await, [32, 5, 1]);
}

#[tokio::test]
async fn the_modules_of_the_form_post_plan() {
    let names = [&BASIC[..], &[PKCE]].concat();
    assert_eq!(plan("Form Post OP", Mode::FormPost, &names).await, [32, 5, 1]);
}

#[tokio::test]
async fn the_modules_of_the_config_plan() {
    assert_eq!(plan("Config OP", Mode::Query, &CONFIG).await, [1, 0, 0]);
}

#[tokio::test]
async fn the_modules_of_the_rp_initiated_logout_plan() {
    assert_eq!(plan("RP-Initiated OP", Mode::Query, &RP_INITIATED).await, [11, 0, 0]);
}

#[tokio::test]
async fn the_modules_of_the_back_channel_logout_plan() {
    assert_eq!(plan("Back-Channel OP", Mode::Query, &BACK_CHANNEL).await, [2, 0, 0]);
}
