//! The four doors as HTML: each a card with who comes through it, what they can do there, and one
//! sentence on what to look for. Everything works without JavaScript; what one copies is selected by a
//! click. Every value from outside passes `html`, also the ones the demo itself made.

use crate::{
    Forgery,
    attack::sign_in_url,
    desk::DeskSettings,
    instrument::now,
    org_api::{DeskOrg, Vendor},
    pages::html,
};
use model::Timestamp;
use serde_json::Value;

/// The state of an org's person, as its directory sees it now.
pub(crate) enum Seat {
    Known { active: bool },
    Absent,
    Unreadable(String),
}

pub(crate) struct Doors<'a> {
    pub(crate) settings: &'a DeskSettings,
    pub(crate) seats: Vec<(&'a DeskOrg, Seat)>,
    /// The newest events of the first org, or why they cannot be read.
    pub(crate) tail: Result<Vec<Value>, String>,
    /// Whether Responses can be forged here.
    pub(crate) forging: bool,
}

impl Doors<'_> {
    pub(crate) fn render(&self) -> String {
        format!(
            "<header><h1>Vestibule</h1><p>A company’s people sign in with the company’s own identity provider, and \
             the moment its directory says one is gone, that person is gone everywhere. Four doors lead to the same \
             running gateway, <a href=\"{gateway}/.well-known/openid-configuration\">{gateway}</a>.</p></header>\
             <div class=\"doors\">{}{}{}{}</div>",
            self.user(),
            self.directory(),
            self.developer(),
            self.reviewer(),
            gateway = html(&self.settings.gateway_url),
        )
    }

    fn user(&self) -> String {
        let sides: String =
            self.settings.orgs.iter().enumerate().map(|(at, org)| self.side_of_user(at, org)).collect();
        door(
            "user",
            "1 · For the app’s user",
            "Sign in",
            "The app knows a work email and nothing else; the company’s own sign-in page comes next. Leave the app’s \
             tab open and go through door 2: within two seconds the app shows that the session has ended.",
            &format!("<div class=\"pair\">{sides}</div>"),
        )
    }

    fn side_of_user(&self, at: usize, org: &DeskOrg) -> String {
        let by = match org.vendor {
            Vendor::Okta => "SAML 2.0",
            Vendor::Entra => "OpenID Connect",
        };
        let class = if at == 0 { "button main" } else { "button" };
        format!(
            "<div class=\"side\"><h3>{name}</h3><dl><dt>Signs in with</dt><dd class=\"said\">{idp}, {by}</dd>\
             <dt>Email</dt><dd class=\"copy\">{login}</dd><dt>Password</dt><dd class=\"copy\">{password}</dd></dl>\
             <a class=\"{class}\" target=\"_blank\" rel=\"noopener\" href=\"{url}\">Sign in as {given} (new tab)</a></div>",
            name = html(&org.name),
            idp = html(&org.idp_name),
            login = html(&org.person.login),
            password = html(&org.person.password),
            given = html(&org.person.given_name),
            url = html(&sign_in_url(&self.settings.app_url, &org.person.email)),
        )
    }

    fn directory(&self) -> String {
        let sides: String = self.seats.iter().map(|(org, seat)| side_of_directory(org, seat)).collect();
        door(
            "directory",
            "2 · For the company’s directory",
            "Somebody leaves",
            "One SCIM request, in each vendor’s own dialect, ends every session and token of a person. You see the \
             request, the answer, how long it took, and the receipt.",
            &format!("<div class=\"pair\">{sides}</div>"),
        )
    }

    fn developer(&self) -> String {
        let calls: String = curls(self.settings)
            .iter()
            .map(|(what, line)| {
                format!("<h3>{}</h3><pre class=\"copy\" tabindex=\"0\">{}</pre>", html(what), html(line))
            })
            .collect();
        let keys: String = self
            .settings
            .orgs
            .iter()
            .map(|o| format!("<dt>Key of {}</dt><dd class=\"copy\">{}</dd>", html(&o.name), html(&o.org_key)))
            .collect();
        let check = check_a_token(self.settings);
        door(
            "developer",
            "3 · For the developer",
            "Call it, and check its tokens",
            "A key of each org, lines for a terminal, and the fifteen lines with which an app checks a token. A click \
             selects the whole value.",
            &format!(
                "<h3>Keys</h3><dl>{keys}<dt>Client id of the app</dt><dd class=\"copy\">{client}</dd></dl>{calls}\
                 <h3>Check a token in your app (Node, with the library jose)</h3>\
                 <pre class=\"copy\" tabindex=\"0\">{check}</pre>\
                 <p class=\"muted\">This alone lets a token live to its end, 300 seconds at most. To know at once, ask \
                 {gateway}/oauth2/introspect as the demo’s app does.</p>",
                client = html(&self.settings.app.client_id),
                check = html(&check),
                gateway = html(&self.settings.gateway_url),
            ),
        )
    }

    fn reviewer(&self) -> String {
        let (at, other) = (self.settings.orgs.first(), self.settings.orgs.get(1));
        let name = at.map_or("the org", |org| org.name.as_str());
        let other = other.map_or("another org", |org| org.name.as_str());
        let forge = if self.forging { forge_forms() } else { String::new() };
        let tail = match &self.tail {
            Ok(events) => tail(events),
            Err(why) => {
                format!("<p class=\"bad\" role=\"alert\">✕ The record cannot be read: {}</p>", html(why))
            }
        };
        door(
            "reviewer",
            "4 · For the security reviewer",
            "Try to get in",
            "Each button begins a real sign-in, takes the honest answer’s place on the wire and posts it from the same \
             browser. What comes back is the gateway’s own status, its stable code and the reference a person would read \
             out.",
            &format!(
                "{forge}<h3>Everything else</h3><div class=\"acts\">{}{}</div>\
                 <h3>The record of {}, newest first</h3>{tail}",
                act("/reviewer/replay", "Replay a Response", ""),
                act("/reviewer/foreign-key", &format!("Use {other}’s key at {name}"), ""),
                html(name),
            ),
        )
    }
}

fn door(id: &str, who: &str, title: &str, lead: &str, body: &str) -> String {
    format!(
        "<section class=\"door\" id=\"{id}\" aria-labelledby=\"{id}-title\"><p class=\"who\">{who}</p>\
         <h2 id=\"{id}-title\">{title}</h2><p>{lead}</p>{body}</section>"
    )
}

/// A form that is one button.
pub(crate) fn act(action: &str, label: &str, class: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{}\"><button class=\"{class}\">{}</button></form>",
        html(action),
        html(label)
    )
}

fn side_of_directory(org: &DeskOrg, seat: &Seat) -> String {
    let person = html(&org.person.display_name());
    let leave = || act(&format!("/directory/{}/leave", org.slug), "Leave the company", "loss");
    let back = || act(&format!("/directory/{}/return", org.slug), "Come back", "");
    let join = || act(&format!("/directory/{}/join", org.slug), "Join the company", "");
    let (state, acts) = match seat {
        Seat::Known { active: true } => ("<span class=\"good state\">✓ Active</span>".to_owned(), leave()),
        Seat::Known { active: false } => {
            ("<span class=\"bad state\">✕ Left the company</span>".to_owned(), back())
        }
        Seat::Absent => ("<span class=\"muted state\">Not provisioned yet</span>".to_owned(), join()),
        Seat::Unreadable(why) => {
            (format!("<span class=\"bad\">✕ Cannot be read: {}</span>", html(why)), String::new())
        }
    };
    let lost = match seat {
        Seat::Known { active: true } => {
            "<p class=\"muted\">Ends every session and token; it can be undone, they cannot.</p>"
        }
        Seat::Known { active: false } | Seat::Absent | Seat::Unreadable(_) => "",
    };
    format!(
        "<div class=\"side\"><h3>{name}</h3><dl><dt>Directory</dt><dd class=\"said\">{idp}</dd><dt>Person</dt>\
         <dd class=\"said\">{person}</dd><dt>State</dt><dd class=\"said\">{state}</dd></dl>{lost}{acts}</div>",
        name = html(&org.name),
        idp = html(&org.idp_name),
    )
}

fn forge_forms() -> String {
    let options: String = Forgery::ALL
        .iter()
        .map(|f| format!("<option value=\"{f:?}\">{}</option>", html(f.title())))
        .collect();
    format!(
        "<h3>Forge</h3><div class=\"acts\"><form method=\"post\" action=\"/reviewer/forge\" class=\"acts\"><div>\
         <label for=\"forgery\">Kind of forgery</label><select id=\"forgery\" name=\"forgery\">{options}</select></div>\
         <button>Send a forged SAML Response</button></form>{}</div>",
        act("/reviewer/forge-all", &format!("Send all {}", Forgery::ALL.len()), "")
    )
}

/// What one types into a terminal: what it asks, and the line.
fn curls(settings: &DeskSettings) -> Vec<(String, String)> {
    let gateway = &settings.gateway_url;
    let mut lines = vec![
        ("Discovery".to_owned(), format!("curl -s {gateway}/.well-known/openid-configuration")),
        ("The keys that sign".to_owned(), format!("curl -s {gateway}/oauth2/jwks")),
    ];
    if let Some(org) = settings.orgs.first() {
        let api = |path: &str| {
            format!(
                "curl -s -H 'Authorization: Bearer {}' '{gateway}/api/v1/orgs/{}{path}'",
                org.org_key, org.slug
            )
        };
        let scim = format!(
            "curl -s -H 'Authorization: Bearer {}' '{gateway}/scim/v2/Users?count=10'",
            org.scim_token
        );
        lines.push((format!("People of {}, by SCIM", org.name), scim));
        lines.push((format!("The record of {}", org.name), api("/audit/events?limit=5")));
        lines.push((format!("What {} used", org.name), api("/usage")));
    }
    lines
}

/// The whole of what an app needs (RFC 9068, section 4).
fn check_a_token(settings: &DeskSettings) -> String {
    format!(
        r#"import {{ createRemoteJWKSet, jwtVerify }} from "jose";

const issuer = "{}";
const audience = "{}";
const keys = createRemoteJWKSet(new URL(`${{issuer}}/oauth2/jwks`));

export async function whoCalls(authorization) {{
  const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  if (!token) throw new Error("no bearer token");
  const {{ payload }} = await jwtVerify(token, keys, {{
    issuer, audience, typ: "at+jwt", algorithms: ["ES256"],
    requiredClaims: ["exp", "sub", "org_id"],
  }});
  return {{ org: payload.org_id, seat: payload.sub, teams: payload.team_ids, roles: payload.roles }};
}}"#,
        settings.gateway_url,
        settings.app.audience.as_ref().unwrap_or(&settings.app.client_id)
    )
}

/// The record's newest lines.
pub(crate) fn tail(events: &[Value]) -> String {
    if events.is_empty() {
        return "<p class=\"muted\">Nothing has happened yet. Sign in through door 1.</p>".to_owned();
    }
    let at_now = now();
    let rows: String = events.iter().map(|event| line(event, at_now)).collect();
    format!(
        "<div class=\"table\"><table><thead><tr><th scope=\"col\">When</th><th scope=\"col\">What</th>\
         <th scope=\"col\">Outcome</th><th scope=\"col\">By</th><th scope=\"col\">Code</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}

fn line(event: &Value, at_now: Timestamp) -> String {
    let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let outcome = match text("/outcome") {
        "done" => "<span class=\"good\">✓ done</span>".to_owned(),
        other => format!("<span class=\"bad\">✕ {}</span>", html(other)),
    };
    format!(
        "<tr><td title=\"{at}\">{}</td><td>{}</td><td>{outcome}</td><td>{}</td><td>{}</td></tr>",
        html(&ago(text("/at"), at_now)),
        html(text("/action")),
        html(text("/actor/type")),
        html(text("/values/code")),
        at = html(text("/at")),
    )
}

/// "3 min ago".
fn ago(at: &str, at_now: Timestamp) -> String {
    let Ok(at) = Timestamp::parse_rfc3339(at) else { return at.to_owned() };
    match at_now.secs().saturating_sub(at.secs()) {
        secs if secs < 2 => "now".to_owned(),
        secs if secs < 60 => format!("{secs} s ago"),
        secs if secs < 3_600 => format!("{} min ago", secs / 60),
        secs if secs < 86_400 => format!("{} h ago", secs / 3_600),
        secs => format!("{} d ago", secs / 86_400),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Person;
    use serde_json::json;

    pub(crate) fn settings() -> DeskSettings {
        let org = |slug: &str, vendor, given: &str| DeskOrg {
            slug: slug.into(),
            id: format!("org_{slug}"),
            name: format!("{slug} & <b>Sons</b>"),
            idp_name: "Okta \"'".into(),
            vendor,
            connection_id: "con_1".into(),
            org_key: format!("vst_org_{slug}"),
            scim_token: format!("vst_scim_{slug}"),
            person: Person::new(&format!("ada+1@{slug}.example"), "<pw>", given, "L"),
        };
        DeskSettings {
            port: 0,
            gateway_url: "http://localhost:8080".into(),
            app_url: "http://localhost:8081".into(),
            app: crate::RpSettings { client_id: "app_1".into(), ..Default::default() },
            orgs: vec![org("acme", Vendor::Okta, "Ada"), org("globex", Vendor::Entra, "Grace")],
        }
    }

    fn rendered(tail: Result<Vec<Value>, String>) -> String {
        let settings = settings();
        let seats = vec![
            (&settings.orgs[0], Seat::Known { active: true }),
            (&settings.orgs[1], Seat::Known { active: false }),
        ];
        Doors { settings: &settings, seats, tail, forging: true }.render()
    }

    #[test]
    fn the_four_doors_escape_what_they_show_and_run_no_script() {
        let page =
            rendered(Ok(vec![json!({"action": "<script>", "at": "2026-11-21T10:00:00Z", "outcome": "x<y"})]));
        for id in ["user", "directory", "developer", "reviewer"] {
            assert_eq!(page.matches(&format!("<section class=\"door\" id=\"{id}\"")).count(), 1);
        }
        assert!(!page.contains("<b>Sons") && !page.contains("<script") && !page.contains("<pw>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;pw&gt;") && page.contains("x&lt;y"));
        assert!(!page.contains(" onclick") && !page.contains(" style="));
        // An address with a plus is not a space on the other side.
        assert!(page.contains("/sign-in?email=ada%2B1%40acme.example"));
    }

    #[test]
    fn who_is_active_can_leave_and_who_left_can_come_back() {
        let page = rendered(Ok(vec![]));
        assert!(page.contains("/directory/acme/leave") && !page.contains("/directory/acme/return"));
        assert!(page.contains("/directory/globex/return") && !page.contains("/directory/globex/leave"));
        assert!(page.contains("Nothing has happened yet"));
    }

    #[test]
    fn a_gateway_that_does_not_answer_is_said_and_hides_nothing_else() {
        let page = rendered(Err("http://localhost:8080 did not answer: <refused>".into()));
        assert!(page.contains("The record cannot be read") && page.contains("&lt;refused&gt;"));
        assert!(page.contains("Send a forged SAML Response"));
        let settings = settings();
        let side = side_of_directory(&settings.orgs[0], &Seat::Unreadable("<why>".into()));
        assert!(side.contains("&lt;why&gt;") && !side.contains("<form"));
    }

    #[test]
    fn the_code_names_issuer_and_audience_and_has_no_braces_doubled() {
        let code = check_a_token(&settings());
        assert!(code.contains("const issuer = \"http://localhost:8080\"") && code.contains("\"app_1\""));
        assert!(!code.contains("{{") && !code.contains("}}}"));
        assert_eq!(code.lines().filter(|line| !line.is_empty()).count(), 13);
    }

    #[test]
    fn times_are_told_as_a_person_would() {
        let now = Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap();
        for (at, said) in [
            ("2026-11-21T09:59:59Z", "now"),
            ("2026-11-21T09:59:01Z", "59 s ago"),
            ("2026-11-21T09:59:00Z", "1 min ago"),
            ("2026-11-21T09:00:00Z", "1 h ago"),
            ("2026-11-20T10:00:00Z", "1 d ago"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(ago(at, now), said);
        }
    }
}
