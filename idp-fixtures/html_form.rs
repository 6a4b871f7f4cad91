//! The forms of a page, as far as a sign-in needs them: action, method, and what each named field would
//! send. Reads tags by hand; it understands the pages of this house and the fixtures, not the web.

/// One form; `fields` hold what submitting it unchanged would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    pub post: bool,
    pub fields: Vec<(String, String)>,
    /// Names of the fields a person would fill in, with their `type`.
    pub visible: Vec<(String, String)>,
}

impl Form {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// The first field of this `type` that a person would fill in.
    pub fn visible_of_type(&self, kind: &str) -> Option<&str> {
        self.visible.iter().find(|(_, k)| k == kind).map(|(n, _)| n.as_str())
    }
}

/// Every form of a page in order.
pub(crate) fn forms(html: &str) -> Vec<Form> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((_, at)) = split_at_tag(rest, "form") {
        let (open, after) = tag(at);
        let (inside, beyond) = match split_at_tag(after, "/form") {
            Some((inside, beyond)) => (inside, beyond),
            None => (after, ""),
        };
        found.push(read(open, inside));
        rest = beyond;
    }
    found
}

fn read(open: &str, mut inside: &str) -> Form {
    let method = value(open, "method").unwrap_or_default();
    let mut form = Form {
        action: value(open, "action").unwrap_or_default(),
        post: method.eq_ignore_ascii_case("post"),
        fields: Vec::new(),
        visible: Vec::new(),
    };
    let mut pressed = false;
    while let Some(at) = inside.find('<') {
        let (open, after) = tag(inside.get(at..).unwrap_or_default());
        inside = after;
        let element = name(open);
        let Some(field) = value(open, "name") else { continue };
        let sent = value(open, "value").unwrap_or_default();
        let kind = value(open, "type").unwrap_or_else(|| "text".to_owned()).to_ascii_lowercase();
        match (element.as_str(), kind.as_str()) {
            // A browser sends the one button that is pressed: here the first.
            ("button", _) | ("input", "submit") => {
                if !pressed {
                    form.fields.push((field, sent));
                }
                pressed = true;
            }
            ("input", "checkbox" | "radio") if !has(open, "checked") => {}
            ("input", "hidden") => form.fields.push((field, sent)),
            ("input", _) => {
                form.visible.push((field.clone(), kind));
                form.fields.push((field, sent));
            }
            _ => {}
        }
    }
    form
}

/// What comes before and after the next `<name`; the second part begins with it.
fn split_at_tag<'a>(html: &'a str, wanted: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    while let Some(at) = html.get(from..)?.find('<') {
        let here = from.saturating_add(at);
        let rest = html.get(here..)?;
        if name(rest).eq_ignore_ascii_case(wanted) {
            return Some((html.get(..here)?, rest));
        }
        from = here.saturating_add(1);
    }
    None
}

/// The tag that `html` begins with, up to its `>`, and what follows. A `>` in quotes does not end it.
fn tag(html: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in html.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return html.split_at(at.saturating_add(1)),
            (None, _) => {}
        }
    }
    (html, "")
}

fn name(tag: &str) -> String {
    let end = |c: char| c.is_ascii_whitespace() || c == '>';
    let name: String = tag.chars().skip(1).take_while(|c| !end(*c)).collect();
    name.to_ascii_lowercase()
}

fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let inner = tag.trim_start_matches('<').trim_end_matches('>');
    let mut rest = inner.split_once(|c: char| c.is_ascii_whitespace()).map_or("", |(_, r)| r);
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return found;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix('=') {
            None => ("", after),
            Some(v) => match v.chars().next() {
                Some(q @ ('"' | '\'')) => v.get(1..).and_then(|v| v.split_once(q)).unwrap_or((v, "")),
                _ => v.split_at(v.find(|c: char| c.is_ascii_whitespace()).unwrap_or(v.len())),
            },
        };
        if name.is_empty() {
            return found;
        }
        found.push((name.to_ascii_lowercase(), decode(value)));
        rest = after;
    }
}

fn value(tag: &str, wanted: &str) -> Option<String> {
    attributes(tag).into_iter().find(|(n, _)| n == wanted).map(|(_, v)| v)
}

fn has(tag: &str, wanted: &str) -> bool {
    value(tag, wanted).is_some()
}

/// The named references of XML and numeric ones.
pub(crate) fn decode(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = after.split_once(';').and_then(|(entity, tail)| Some((reference(entity)?, tail)));
        match known {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_sends_its_fields_decoded_and_its_first_button() {
        let page = "<p>a<b</p><FORM method='POST' action=\"/go?a=1&amp;b=2\"><input type=hidden name=x \
                    value=\"&lt;&#39;&#x3E;>\"><input name=email type=email required><input type=checkbox \
                    name=no><button name=act value=yes>Go</button><button name=act value=no>No</button></FORM>\
                    <form action=/q></form>";
        let found = forms(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].action, "/go?a=1&b=2");
        assert!(found[0].post && !found[1].post);
        let fields: Vec<_> = found[0].fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("x", "<'>>"), ("email", ""), ("act", "yes")]);
        assert_eq!(found[0].visible_of_type("email"), Some("email"));
    }
}
