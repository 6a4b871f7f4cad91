//! A browser signs in at an app that knows nothing of it: the proxy before the app sends `/_vestibule/…` of the app's
//! host here, and we are the app's client at our own authorization endpoint. An app consents by registering a redirect
//! URI with that path. What comes of it is a pass (`pass`), never a token. Nothing here is decided by the host that
//! a request names: it chooses among what the app registered.

use crate::{
    FlowError, Gateway,
    gateway::host_name,
    pass::{self, Given},
    redeem::Redemption,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{
    Refusal, Timestamp,
    ids::{AppId, AttemptId, random32},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{App, Call};
use token::code::Challenge;
use url::{Url, form_urlencoded};

/// What the proxy sends here, at the app's host.
pub const AT: &str = "/_vestibule/";
/// By this path of its redirect URI an app consents.
const CALLBACK: &str = "/_vestibule/callback";
const PURPOSE: &str = "proxy.attempt";
const SCOPE: &str = "openid profile email";
/// A path and query to go back to. It travels in a cookie of the app's host, where all cookies together have 8 KiB
/// with most proxies.
const TO_BYTES_MAX: usize = 1024;
/// What of the sign-in's query is passed on, by the names that the authorization endpoint has for it.
const PASSED_ON: [&str; 4] = ["organization", "connection", "login_hint", "domain_hint"];

/// An origin of an app at which a proxy sends browsers here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    origin: String,
}

impl Front {
    /// Of a redirect URI that is an origin, as browsers write it, and the callback's path; of no other.
    fn of(redirect_uri: &str) -> Option<Self> {
        let origin = redirect_uri.strip_suffix(CALLBACK)?;
        let canonical = Url::parse(origin).ok()?.origin().ascii_serialization();
        (canonical == origin).then_some(Self { origin: canonical })
    }
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }
    /// Host, and port where the scheme does not say it.
    fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }
    pub fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.origin)
    }
    /// A path of it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
    /// Where a browser that wants this path signs in.
    pub fn sign_in(&self, to: &str) -> String {
        self.at(&format!("{AT}sign-in?to={}", path_of(to)))
    }
}

/// The app's front that a request came to, by the hosts that it names, the likeliest first. An app with one front
/// needs no host.
pub fn front(app: &App, hosts: &[String]) -> Option<Front> {
    let mut fronts: Vec<Front> = app.redirect_uris.iter().filter_map(|uri| Front::of(uri)).collect();
    if fronts.len() < 2 {
        return fronts.pop();
    }
    let hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let exact = |host: &String| fronts.iter().find(|front| front.authority() == host);
    let usual = |host: &String| {
        let of = |front: &Front| format!("{}:{}", front.authority(), if front.is_https() { 443 } else { 80 });
        fronts.iter().find(|front| of(front) == *host)
    };
    // The only one of that name, whatever the port; by a name of this machine a proxy may mean us.
    let alone = |host: &String| {
        let name = host_name(host);
        let mut named = fronts.iter().filter(|front| host_name(front.authority()) == name);
        let is_here = name == "localhost" || name == "[::1]" || name.starts_with("127.");
        named.next().filter(|_| named.next().is_none() && !is_here)
    };
    let found = hosts.iter().find_map(exact).or_else(|| hosts.iter().find_map(usual));
    found.or_else(|| hosts.iter().find_map(alone)).cloned()
}

/// A path of the same origin with its query, as it stood in a request line; anything else is `/`. Taken as it is:
/// nothing is decoded, so nothing can be hidden by an encoding.
pub fn path_of(asked: &str) -> &str {
    let mut bytes = asked.bytes();
    let begins = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let clean = asked.bytes().all(|byte| byte.is_ascii_graphic());
    let ok = begins && clean && asked.len() <= TO_BYTES_MAX && !asked.starts_with(AT);
    if ok { asked } else { "/" }
}

/// The sign-in's query: what stands before `to=`, and the path that is all of what follows it, `&` and `=` of its own
/// included, because no proxy encodes it.
pub fn split_query(query: &str) -> (&str, &str) {
    let at = if query.starts_with("to=") { Some(0) } else { query.find("&to=").map(|at| at + 1) };
    let parts = at.and_then(|at| query.split_at_checked(at));
    let (before, to) = parts.unwrap_or((query, ""));
    (before.trim_end_matches('&'), path_of(to.strip_prefix("to=").unwrap_or_default()))
}

/// What a browser keeps of a sign-in that is under way, sealed, for this app alone.
#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    redirect_uri: String,
    verifier: String,
    to: String,
    expires_at: i64,
}

/// An attempt as the browser keeps it.
#[derive(Debug)]
pub struct Kept {
    pub id: AttemptId,
    pub sealed: String,
}

/// Only for this id and app does it open.
fn belongs(id: AttemptId, app: AppId) -> Vec<u8> {
    [id.uuid().into_bytes(), app.uuid().into_bytes()].concat()
}

/// An app that has a front where this request came to. Errors: `proxy.nowhere`.
pub async fn front_of(gw: &Gateway, app: &str, hosts: &[String]) -> Result<(App, Front), FlowError> {
    let nowhere = || FlowError::from(Refusal::stranger("proxy.nowhere"));
    let id: AppId = app.parse().map_err(|_| nowhere())?;
    let app = gw.db.app(id).await?.ok_or_else(nowhere)?;
    let front = front(&app, hosts).ok_or_else(nowhere)?;
    Ok((app, front))
}

/// Off to our own authorization endpoint. `to` is a `path_of`; of what was asked only what is known is passed on.
pub fn begin(
    gw: &Gateway,
    (app, front): (&App, &Front),
    to: &str,
    asked: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(String, Kept), FlowError> {
    let id = AttemptId::new(now, gw.chance.as_ref());
    let verifier = URL_SAFE_NO_PAD.encode(random32(gw.chance.as_ref()));
    let challenge = Challenge::of(&verifier);
    let (redirect_uri, state) = (front.redirect_uri(), id.to_string());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("client_id", app.id.to_string().as_str()),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("state", &state),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ]);
    let prompt = asked.get("prompt").filter(|word| ["select_account", "login"].contains(&word.as_str()));
    query.extend_pairs(prompt.map(|word| ("prompt", word)));
    query.extend_pairs(PASSED_ON.into_iter().filter_map(|name| Some((name, asked.get(name)?))));
    let url = gw.links.at(&format!("/oauth2/authorize?{}", query.finish()));
    let expires_at = now.plus_secs(gw.lifetimes.attempt_secs).secs();
    let attempt = Attempt { redirect_uri, verifier, to: to.to_owned(), expires_at };
    let fault = |error: String| FlowError::Fault(error);
    let plain = serde_json::to_vec(&attempt).map_err(|e| fault(e.to_string()))?;
    let sealed = gw.db.seals().seal(PURPOSE, &belongs(id, app.id), &plain, gw.chance.as_ref());
    let sealed = URL_SAFE_NO_PAD.encode(sealed.map_err(|e| fault(e.to_string()))?);
    Ok((url, Kept { id, sealed }))
}

/// The answer to an attempt of this browser's.
pub struct Answer<'a> {
    pub said: &'a BTreeMap<String, String>,
    /// The cookie of the attempt that `state` names.
    pub cookie: Option<&'a str>,
}

/// The attempt that an answer names.
pub fn named(said: &BTreeMap<String, String>) -> Option<AttemptId> {
    said.get("state")?.parse().ok()
}

/// A pass, and the path that the browser wanted. An error comes with that path, where this browser's own attempt
/// says it.
///
/// # Errors
/// `proxy.attempt_unknown`, `proxy.attempt_expired`, `proxy.issuer`, `proxy.denied`, those of a redemption.
pub async fn finish(
    gw: &Gateway,
    (app, front): (&App, &Front),
    answer: Answer<'_>,
    call: &Call,
) -> Result<(Given, String), (FlowError, Option<String>)> {
    let unknown = || (Refusal::stranger("proxy.attempt_unknown").into(), None);
    let attempt = opened(gw, app.id, &answer).ok_or_else(unknown)?;
    // Another front's, or one that is registered no more.
    if attempt.redirect_uri != front.redirect_uri() {
        return Err(unknown());
    }
    let to = path_of(&attempt.to).to_owned();
    match judged(gw, app, &attempt, &answer, call).await {
        Ok(given) => Ok((given, to)),
        Err(error) => Err((error, Some(to))),
    }
}

async fn judged(
    gw: &Gateway,
    app: &App,
    attempt: &Attempt,
    answer: &Answer<'_>,
    call: &Call,
) -> Result<Given, FlowError> {
    if call.at.secs() >= attempt.expires_at {
        return Err(Refusal::stranger("proxy.attempt_expired").into());
    }
    // RFC 9207 2.4. It stands in every answer of ours.
    if answer.said.get("iss").map(String::as_str) != Some(gw.links.issuer()) {
        return Err(Refusal::stranger("proxy.issuer").into());
    }
    let code = answer.said.get("code").filter(|_| !answer.said.contains_key("error"));
    let code = code.ok_or(Refusal::stranger("proxy.denied"))?;
    let grant = Redemption {
        code,
        redirect_uri: Some(&attempt.redirect_uri),
        code_verifier: &attempt.verifier,
        resource: None,
    };
    pass::redeem(gw, app.id, grant, call).await
}

fn opened(gw: &Gateway, app: AppId, answer: &Answer<'_>) -> Option<Attempt> {
    let (id, sealed) = (named(answer.said)?, URL_SAFE_NO_PAD.decode(answer.cookie?).ok()?);
    let plain = gw.db.seals().open(PURPOSE, &belongs(id, app), &sealed).ok()?;
    serde_json::from_slice(plain.reveal()).ok()
}

/// Ends the pass of this browser, and says where it ends its session, if it wants to: our own sign-out, which leads
/// back to where the app has registered such a place at this front.
pub async fn leave(
    gw: &Gateway,
    (app, front): (&App, &Front),
    pass: Option<&str>,
    call: &Call,
) -> Result<String, FlowError> {
    if let Some(text) = pass {
        pass::end(gw, app.id, text, call).await?;
    }
    let root = front.at("/");
    let back =
        app.post_logout_redirect_uris.iter().find(|uri| **uri == front.origin || uri.starts_with(&root));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", &app.id.to_string());
    query.extend_pairs(back.map(|uri| ("post_logout_redirect_uri", uri)));
    Ok(gw.links.at(&format!("/oauth2/logout?{}", query.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_is_an_origin_with_the_callbacks_path_and_nothing_else() {
        for (uri, origin) in [
            ("https://desk.example/_vestibule/callback", "https://desk.example"),
            ("https://desk.example:8443/_vestibule/callback", "https://desk.example:8443"),
            ("http://localhost:3000/_vestibule/callback", "http://localhost:3000"),
            ("http://[::1]:9/_vestibule/callback", "http://[::1]:9"),
        ] {
            let front = Front::of(uri).unwrap();
            assert_eq!((front.origin.as_str(), front.redirect_uri().as_str()), (origin, uri));
        }
        for other in [
            "https://desk.example/cb",
            "https://desk.example/_vestibule/callback/",
            "https://desk.example/_vestibule/callback?x",
            "https://desk.example//_vestibule/callback",
            "https://desk.example/x/_vestibule/callback",
            "https://desk.example?/_vestibule/callback",
            "https://desk.example/%5Fvestibule/callback",
            "https://desk.example/_VESTIBULE/callback",
            "https://DESK.example/_vestibule/callback",
            "https://desk.example:443/_vestibule/callback",
            "/_vestibule/callback",
            "data:/_vestibule/callback",
        ] {
            assert_eq!(Front::of(other), None, "{other}");
        }
    }

    #[test]
    fn where_to_go_on_is_a_path_of_the_same_origin_taken_as_it_is() {
        let long = format!("/{}", "x".repeat(TO_BYTES_MAX - 1));
        for ok in ["/", "/reports?a=1&b=%2F%2Fevil", "/a//b", "/%2F%2Fevil.example", "/.//evil", &long] {
            assert_eq!(path_of(ok), ok);
        }
        for bad in [
            "",
            "reports",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "https:/evil.example",
            "javascript:alert(1)",
            "%2F%2Fevil.example",
            "/\t/evil.example",
            "/\n",
            "/\u{0}",
            "/ä",
            "/ ",
            "/_vestibule/sign-out",
            &format!("{long}x"),
        ] {
            assert_eq!(path_of(bad), "/", "{bad:?}");
        }
    }

    #[test]
    fn all_that_follows_to_is_the_path() {
        for (query, wanted) in [
            ("to=/reports?a=1&b=2&to=/c", ("", "/reports?a=1&b=2&to=/c")),
            (
                "prompt=login&login_hint=a%40b.example&to=/x&prompt=none",
                ("prompt=login&login_hint=a%40b.example", "/x&prompt=none"),
            ),
            ("prompt=login", ("prompt=login", "/")),
            ("goto=/x", ("goto=/x", "/")),
            ("to=", ("", "/")),
            ("to=//evil.example", ("", "/")),
            ("", ("", "/")),
        ] {
            assert_eq!(split_query(query), wanted, "{query}");
        }
    }
}
