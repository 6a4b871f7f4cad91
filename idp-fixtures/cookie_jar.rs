//! A cookie jar as a browser keeps one (RFC 6265bis), but kept apart by host AND port, because every
//! party of a test lives on one host and none may lean on another's cookie. Honours Path, Max-Age,
//! Expires in the past, Secure (loopback counts as secure), SameSite and the `__Host-` prefix.

use crate::instrument::now;
use model::Timestamp;
use openidconnect::url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCookie {
    /// `host:port` that set it.
    pub origin: String,
    pub name: String,
    pub value: String,
    pub path: String,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: SameSite,
    pub expires_at: Option<Timestamp>,
}

/// How a request came about, which is what SameSite asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Journey {
    /// The page that started it is on another host.
    pub(crate) cross_site: bool,
    pub(crate) post: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(Vec<StoredCookie>);

pub(crate) fn origin(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn trustworthy(url: &Url) -> bool {
    url.scheme() == "https" || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

impl Jar {
    /// Takes one `Set-Cookie` line in, or leaves it as a browser would.
    pub(crate) fn take(&mut self, url: &Url, line: &str) {
        let Some(cookie) = parse(url, line) else { return };
        self.0.retain(|c| (&c.origin, &c.name, &c.path) != (&cookie.origin, &cookie.name, &cookie.path));
        if cookie.expires_at.is_none_or(|at| at > now()) {
            self.0.push(cookie);
        }
    }

    /// The `Cookie` header for a request, if any goes along.
    pub(crate) fn header(&self, url: &Url, journey: Journey) -> Option<String> {
        let sent: Vec<String> = self
            .at(url)
            .filter(|c| path_matches(&c.path, url.path()) && (!c.secure || trustworthy(url)))
            .filter(|c| match c.same_site {
                SameSite::None => true,
                SameSite::Lax => !journey.cross_site || !journey.post,
                SameSite::Strict => !journey.cross_site,
            })
            .map(|c| format!("{}={}", c.name, c.value))
            .collect();
        if sent.is_empty() { None } else { Some(sent.join("; ")) }
    }

    pub(crate) fn at<'a>(&'a self, url: &Url) -> impl Iterator<Item = &'a StoredCookie> + use<'a> {
        let (origin, now) = (origin(url), now());
        self.0.iter().filter(move |c| c.origin == origin && c.expires_at.is_none_or(|at| at > now))
    }
}

fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

fn parse(url: &Url, line: &str) -> Option<StoredCookie> {
    let mut parts = line.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let directory = url.path().rsplit_once('/').map_or("/", |(d, _)| if d.is_empty() { "/" } else { d });
    let mut cookie = StoredCookie {
        origin: origin(url),
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        path: directory.to_owned(),
        secure: false,
        http_only: false,
        same_site: SameSite::Lax,
        expires_at: None,
    };
    let (mut domain, mut max_age) = (false, false);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            "httponly" => cookie.http_only = true,
            "domain" => domain = true,
            "samesite" => {
                cookie.same_site = match value.to_ascii_lowercase().as_str() {
                    "strict" => SameSite::Strict,
                    "none" => SameSite::None,
                    _ => SameSite::Lax,
                }
            }
            "max-age" => {
                max_age = true;
                cookie.expires_at = value.parse().ok().map(|secs| now().plus_secs(secs));
            }
            // Only ever the far past here: how a server without Max-Age takes a cookie back.
            "expires" if !max_age && value.contains("1970") => {
                cookie.expires_at = Some(Timestamp::from_secs(0))
            }
            _ => {}
        }
    }
    let prefixed = !cookie.name.starts_with("__Host-") || (cookie.secure && cookie.path == "/" && !domain);
    let none_is_secure = cookie.same_site != SameSite::None || cookie.secure;
    (prefixed && none_is_secure && (!cookie.secure || trustworthy(url))).then_some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Journey = Journey { cross_site: false, post: false };

    fn jar(at: &str, lines: &[&str]) -> (Jar, Url) {
        let (mut jar, url) = (Jar::default(), Url::parse(at).unwrap());
        lines.iter().for_each(|line| jar.take(&url, line));
        (jar, url)
    }

    #[test]
    fn a_cookie_goes_back_to_its_origin_and_path_only_and_leaves_when_told() {
        let (mut jar, url) = jar("https://a.example/x/y", &["s=1; Path=/x", "t=2; Path=/xy"]);
        assert_eq!(jar.header(&url, SAME).as_deref(), Some("s=1"));
        assert_eq!(jar.header(&Url::parse("https://a.example:8443/x/y").unwrap(), SAME), None);
        jar.take(&url, "s=; Path=/x; Max-Age=0");
        assert_eq!(jar.header(&url, SAME), None);
    }

    #[test]
    fn same_site_and_the_host_prefix_are_kept_to() {
        let lines = [
            "l=1",
            "n=2; SameSite=None; Secure",
            "s=3; SameSite=Strict",
            "__Host-h=4; Secure",
            "x=5; SameSite=None",
        ];
        let (jar, url) = jar("https://a.example/", &lines);
        assert_eq!(jar.header(&url, Journey { cross_site: true, post: true }).as_deref(), Some("n=2"));
        assert_eq!(
            jar.header(&url, Journey { cross_site: true, post: false }).as_deref(),
            Some("l=1; n=2; __Host-h=4")
        );
        let (jar, url) = self::jar("http://a.example/", &["__Host-h=4; Secure; Path=/", "p=1; Secure"]);
        assert_eq!(jar.header(&url, SAME), None);
    }
}
