//! The fixtures' pages: one column, one stylesheet, light and dark, a label above each field.
//! No inline script; a page that must post itself on loads `/continue.js` and works by its button without.
//! The policy names no `form-action`: browsers hold every redirect after a form to it, and a sign-in's
//! redirects lead through a gateway and an app that a fake provider cannot know.

use crate::people::Person;
use actix_web::{HttpResponse, http::StatusCode, web};

pub(crate) const STYLE: &str = "\
:root{--ink:#16202b;--muted:#566472;--paper:#f4f6f8;--card:#fff;--line:#c9d2da;--accent:#0b57a4;--on:#fff;--bad:#a3201b;--good:#17693a;color-scheme:light dark}\
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--muted:#a4b1bd;--paper:#10161c;--card:#18212a;--line:#3a4854;--accent:#86bdf5;--on:#0c1620;--bad:#ff9d96;--good:#7ed6a2}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:440px;margin:64px auto;padding:32px;background:var(--card);border:1px solid var(--line);border-radius:8px}\
main.wide{max-width:880px}\
h1{font-size:28px;line-height:1.25;margin:0 0 8px}h2{font-size:20px;margin:32px 0 8px}\
p{margin:0 0 16px;max-width:68ch}.muted{color:var(--muted);font-size:14px}.bad{color:var(--bad)}.good{color:var(--good)}\
label{display:block;font-weight:600;margin:16px 0 4px}\
input{width:100%;padding:8px;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--muted);border-radius:4px}\
button{margin-top:24px;width:100%;padding:12px 16px;font:inherit;font-weight:600;color:var(--on);background:var(--accent);border:0;border-radius:4px;cursor:pointer}\
a{color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
code,td,.mono{font-family:ui-monospace,monospace;font-size:14px;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}th{font-size:14px;text-align:left;vertical-align:top;padding:8px 16px 8px 0;color:var(--muted);font-weight:600}\
td{padding:8px 0}tr+tr{border-top:1px solid var(--line)}\
@media(max-width:600px){main{margin:16px;padding:16px}}";

const CONTINUE: &str = "document.forms[0].submit();";
/// Looks every two seconds whether the session still stands, and shows the page anew when that changed.
const LIVE: &str = "const was=document.querySelector('[data-active]').dataset.active==='true';setInterval(async()=>{try{\
const r=await fetch('/session.json');const s=await r.json();if(was!==(s.active===true))location.reload()}catch{}},2000);";
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Adds `/style.css`, `/continue.js` and `/live.js`.
pub(crate) fn assets(config: &mut web::ServiceConfig) {
    let css = || async { HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE) };
    let js = || async { HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(CONTINUE) };
    let live = || async { HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(LIVE) };
    config
        .route("/style.css", web::get().to(css))
        .route("/continue.js", web::get().to(js))
        .route("/live.js", web::get().to(live));
}

/// Text inside an element or a quoted attribute.
pub(crate) fn html(value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    value.replace('"', "&quot;").replace('\'', "&#39;")
}

/// A whole page; `body` is HTML. `layout` is the class of the column: empty or `wide`.
pub(crate) fn page(status: StatusCode, title: &str, layout: &str, body: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .body(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\n\
             <body><main class=\"{layout}\">{body}</main></body>\n</html>\n",
            html(title)
        ))
}

/// Says what is wrong and what to do about it.
pub(crate) fn refused(title: &str, what: &str) -> HttpResponse {
    let body = format!("<h1>{}</h1><p>{}</p>", html(title), html(what));
    page(StatusCode::BAD_REQUEST, title, "", &body)
}

fn hidden(fields: &[(&str, &str)]) -> String {
    let one =
        |(n, v): &(&str, &str)| format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", html(n), html(v));
    fields.iter().map(one).collect()
}

pub(crate) struct LoginPage<'a> {
    /// Whose page it is: "Northwind (fake Okta)".
    pub(crate) name: &'a str,
    pub(crate) action: &'a str,
    pub(crate) hidden: &'a [(&'a str, &'a str)],
    pub(crate) login: &'a str,
    pub(crate) people: &'a [Person],
    pub(crate) failed: bool,
}

impl LoginPage<'_> {
    /// The form, filled in with the account that was hinted at or the first one: this is a demo, and
    /// says so.
    pub(crate) fn render(&self) -> HttpResponse {
        let known = self.people.iter().find(|p| p.login.eq_ignore_ascii_case(self.login.trim()));
        let shown = if self.login.is_empty() { self.people.first() } else { known };
        let login = shown.map_or(self.login, |p| p.login.as_str());
        let password = shown.filter(|_| !self.failed).map_or("", |p| p.password.as_str());
        let (error, described) = if self.failed {
            let text = "<p class=\"bad\" id=\"why\" role=\"alert\">This password does not belong to this account. \
                        Use one of the accounts below.</p>";
            (text, " aria-invalid=\"true\" aria-describedby=\"why\"")
        } else {
            ("", "")
        };
        let accounts: String = self
            .people
            .iter()
            .map(|p| format!("<tr><td>{}</td><td>{}</td></tr>", html(&p.login), html(&p.password)))
            .collect();
        let body = format!(
            "<h1>Sign in</h1><p class=\"muted\">{name}</p><form method=\"post\" action=\"{action}\">{hidden}\
             <label for=\"login\">Username</label><input id=\"login\" name=\"login\" type=\"text\" value=\"{login}\" \
             autocomplete=\"username\" inputmode=\"email\" required autofocus>\
             <label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" \
             value=\"{password}\" autocomplete=\"current-password\" required{described}>{error}\
             <button type=\"submit\">Sign in</button></form>\
             <h2>Accounts of this demo</h2><table><thead><tr><th scope=\"col\">Username</th>\
             <th scope=\"col\">Password</th></tr></thead><tbody>{accounts}</tbody></table>",
            name = html(self.name),
            action = html(self.action),
            hidden = hidden(self.hidden),
            login = html(login),
            password = html(password),
        );
        let status = if self.failed { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        page(status, &format!("Sign in – {}", self.name), "", &body)
    }
}

/// A page that posts `fields` to `action` by itself, or by its button.
pub(crate) fn post_on(action: &str, fields: &[(&str, &str)]) -> HttpResponse {
    let body = format!(
        "<h1>Signed in</h1><p>Continue to the app if it does not open by itself.</p>\
         <form method=\"post\" action=\"{}\">{}<button type=\"submit\">Continue</button></form>\
         <script src=\"/continue.js\" defer></script>",
        html(action),
        hidden(fields)
    );
    page(StatusCode::OK, "Signed in", "", &body)
}
