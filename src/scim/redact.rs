//! What of a request and its answer may be kept for whoever looks for the cause of a refusal: the text as it
//! was sent, without passwords and credentials, and cut. It reads no more than JSON's own marks, so a body
//! that broke off loses its secrets too: what cannot be told from one is taken for one. RFC 7643 9.

use std::ops::Range;

/// Nesting beyond this is not kept; no judge here takes it either (`dialect::JSON_DEPTH_MAX`).
const DEPTH_MAX: usize = 64;
const REDACTED: &str = "[redacted]";

/// A text as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub text: String,
    /// Is something left out, at the end, beside the secrets?
    pub cut: bool,
}

/// A JSON body, up to `bytes_max` bytes of it and as far as it is JSON. A value is redacted whose name is a
/// secret's, which a PATCH puts where one is kept, or which looks like a credential of ours.
pub fn body(raw: &[u8], bytes_max: usize) -> Excerpt {
    let mut reader = Reader { raw, at: 0, secrets: Vec::new() };
    let whole = reader.value(0).is_ok();
    let end = if whole { reader.at } else { reader.at.min(raw.len()) };
    let mut secrets = reader.secrets;
    secrets.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let (mut kept, mut at, mut cut) = (Vec::new(), 0, false);
    let mut put = |bytes: &[u8]| {
        let room = bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        cut |= bytes.len() > room;
    };
    for span in secrets.into_iter().filter(|span| span.start < end) {
        // Within one that is redacted already.
        if span.start < at {
            continue;
        }
        put(raw.get(at..span.start).unwrap_or_default());
        put(b"\"[redacted]\"");
        at = span.end;
    }
    put(raw.get(at..end).unwrap_or_default());
    let rest = raw.get(end..).unwrap_or_default();
    let cut = cut || !whole || rest.iter().any(|byte| !byte.is_ascii_whitespace());
    Excerpt { text: text_of(&kept), cut }
}

/// The query of a URL, as it was sent. A parameter is redacted whose name is a secret's, and a filter that
/// compares one.
pub fn query(raw: &str, bytes_max: usize) -> Excerpt {
    let part = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = plain(value);
        let is_secret = is_secret(&self::plain(name)) || compares_secret(&plain) || is_credential(&plain);
        if is_secret { format!("{name}={REDACTED}") } else { part.to_owned() }
    };
    let text = raw.split('&').map(part).collect::<Vec<_>>().join("&");
    let kept = text_of(text.as_bytes().get(..bytes_max).unwrap_or(text.as_bytes()));
    Excerpt { cut: text.len() > bytes_max, text: kept }
}

/// A short text of the caller's, such as a path: up to `bytes_max` bytes, nothing of it if it shows a
/// credential.
pub fn line(raw: &str, bytes_max: usize) -> String {
    if is_credential(&plain(raw)) {
        return REDACTED.to_owned();
    }
    text_of(raw.as_bytes().get(..bytes_max).unwrap_or(raw.as_bytes()))
}

/// What of these bytes is text; a character that the cut goes through is left out.
fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let whole = bytes.utf8_chunks().last().is_none_or(|last| last.invalid().is_empty());
    if whole { text.into_owned() } else { text.trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned() }
}

/// A part of a URL, decoded as far as it can be (RFC 3986 2.1).
fn plain(part: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), part.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Is what bears this name, or lies at this path, a secret?
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "apikey"];
    words.iter().any(|word| name.contains(word))
}

/// `password eq "…"`, in a filter or in a path.
fn compares_secret(text: &str) -> bool {
    text.contains('"') && is_secret(text)
}

/// The beginning of every credential of ours.
fn is_credential(text: &str) -> bool {
    text.contains("vst_")
}

/// The body is no JSON from here on.
struct Broken;

struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
    secrets: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        while self.raw.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.raw.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Result<(), Broken> {
        if self.next() != Some(wanted) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(Broken);
        }
        match self.next() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => {
                let start = self.at;
                if is_credential(&self.string()?) {
                    self.secrets.push(start..self.at);
                }
                Ok(())
            }
            Some(_) => self.scalar(),
            None => Err(Broken),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Broken> {
        self.take(b'[')?;
        if self.next() == Some(b']') {
            return self.take(b']');
        }
        loop {
            self.value(depth + 1)?;
            if self.next() == Some(b']') {
                return self.take(b']');
            }
            self.take(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Broken> {
        let mut seen = Members::default();
        let done = self.members(depth, &mut seen);
        // A PATCH's value may come before its path, and the path not at all.
        let harmless = seen.path.map_or(done.is_ok(), |secret| !secret);
        if !harmless {
            self.secrets.append(&mut seen.values);
        }
        done
    }

    fn members(&mut self, depth: usize, seen: &mut Members) -> Result<(), Broken> {
        self.take(b'{')?;
        if self.next() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            self.member(depth, seen)?;
            if self.next() == Some(b'}') {
                return self.take(b'}');
            }
            self.take(b',')?;
        }
    }

    fn member(&mut self, depth: usize, seen: &mut Members) -> Result<(), Broken> {
        if self.next() != Some(b'"') {
            return Err(Broken);
        }
        let name = self.string()?;
        self.take(b':')?;
        let first = self.next();
        let start = self.at;
        let done = self.value(depth + 1);
        let span = start..if done.is_ok() { self.at } else { self.raw.len() };
        let text = (done.is_ok() && first == Some(b'"')).then(|| self.text_at(span.clone()));
        match (name.to_ascii_lowercase().as_str(), text.flatten()) {
            (name, _) if is_secret(name) => self.secrets.push(span),
            ("value", _) => seen.values.push(span),
            ("path", Some(text)) => {
                seen.path = Some(is_secret(&text) || seen.path == Some(true));
                if compares_secret(&text) {
                    self.secrets.push(span);
                }
            }
            ("filter", Some(text)) if compares_secret(&text) => self.secrets.push(span),
            _ => {}
        }
        done
    }

    /// A string, with its escapes undone.
    fn string(&mut self) -> Result<String, Broken> {
        let start = self.at;
        let mut end = start + 1;
        loop {
            match self.raw.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(Broken),
            }
        }
        let text = self.text_at(start..end + 1).ok_or(Broken)?;
        self.at = end + 1;
        Ok(text)
    }

    fn text_at(&self, span: Range<usize>) -> Option<String> {
        let text = self.raw.get(span)?;
        // Without an escape it is what it is, valid or not.
        if text.contains(&b'\\') {
            serde_json::from_slice(text).ok()
        } else {
            Some(String::from_utf8_lossy(text.get(1..text.len().checked_sub(1)?)?).into_owned())
        }
    }

    /// A number, `true`, `false`, `null`.
    fn scalar(&mut self) -> Result<(), Broken> {
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().take_while(is_part).count();
        if serde_json::from_slice::<serde_json::Value>(rest.get(..length).unwrap_or_default()).is_err() {
            return Err(Broken);
        }
        self.at += length;
        Ok(())
    }
}

/// What is seen of an object's members.
#[derive(Default)]
struct Members {
    /// Where its `value` stands.
    values: Vec<Range<usize>>,
    /// Does its `path` lead to a secret?
    path: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(raw: &str) -> String {
        body(raw.as_bytes(), 1_000).text
    }

    #[test]
    fn a_password_is_redacted_by_its_name_wherever_it_stands() {
        for (raw, wanted) in [
            (r#"{"userName":"ada","password":"hunter2"}"#, r#"{"userName":"ada","password":"[redacted]"}"#),
            (r#"{"PassWord" : "hunter2", "a": 1}"#, r#"{"PassWord" : "[redacted]", "a": 1}"#),
            (r#"{"pass\u0077ord":"hunter2"}"#, r#"{"pass\u0077ord":"[redacted]"}"#),
            (r#"{"password":{"a":["hunter2"]},"b":2}"#, r#"{"password":"[redacted]","b":2}"#),
            (r#"{"password":12345}"#, r#"{"password":"[redacted]"}"#),
            (r#"{"urn:acme:2.0:User:password":"hunter2"}"#, r#"{"urn:acme:2.0:User:password":"[redacted]"}"#),
            (r#"{"urn:acme:User":{"apiToken":"hunter2"}}"#, r#"{"urn:acme:User":{"apiToken":"[redacted]"}}"#),
            (r#"{"password":"a","password":"b"}"#, r#"{"password":"[redacted]","password":"[redacted]"}"#),
            (
                r#"{"Operations":[{"data":{"password":"x"}}]}"#,
                r#"{"Operations":[{"data":{"password":"[redacted]"}}]}"#,
            ),
        ] {
            assert_eq!(kept(raw), wanted);
        }
    }

    #[test]
    fn a_patch_of_a_password_is_redacted_in_any_order() {
        for raw in [
            r#"{"op":"replace","path":"password","value":"hunter2"}"#,
            r#"{"value":"hunter2","op":"replace","path":"password"}"#,
            r#"{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":["hunter2"]}"#,
            r#"{"path":"password","path":"title","value":"hunter2"}"#,
            r#"{"op":"replace","value":{"password":"hunter2"}}"#,
            r#"{"filter":"password eq \"hunter2\""}"#,
            r#"{"op":"remove","path":"x[password eq \"hunter2\"]"}"#,
        ] {
            let kept = kept(raw);
            assert!(!kept.contains("hunter2") && kept.contains(REDACTED), "{kept}");
            assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "{kept}");
        }
        let kept = kept(r#"{"op":"replace","path":"title","value":"Dr"}"#);
        assert!(kept.contains("\"Dr\""), "{kept}");
    }

    /// Cut anywhere, as a request that broke off is, or followed by what is no JSON.
    #[test]
    fn what_broke_off_gives_away_no_secret() {
        for raw in [
            r#"{"userName":"ada","password":"hunter2","x":1}"#,
            r#"{"password":{"deep":["hunter2"]},"x":1}"#,
            r#"{"Operations":[{"op":"replace","value":"hunter2","path":"password"}]}"#,
            r#"{"value":{"a":{"b":"hunter2"}},"path":"password"}"#,
        ] {
            for at in 0..raw.len() {
                let kept = body(&raw.as_bytes()[..at], 1_000);
                assert!(!kept.text.contains("hunt"), "{at}: {}", kept.text);
                assert!(kept.cut);
                let kept = body(format!("{}~password=hunter2", &raw[..at]).as_bytes(), 1_000);
                assert!(!kept.text.contains("password=hunt"), "{at}: {}", kept.text);
            }
        }
        for raw in ["password=hunter2", "<password>hunter2</password>", "{'password':'hunter2'}", "{}hunter2"]
        {
            let kept = body(raw.as_bytes(), 1_000);
            assert!(!kept.text.contains("hunt") && kept.cut, "{kept:?}");
        }
    }

    #[test]
    fn a_body_is_kept_to_its_bound_and_says_when_more_came() {
        let raw = format!("[\"{}\"]", "x".repeat(96));
        assert_eq!(body(raw.as_bytes(), 100), Excerpt { text: raw.clone(), cut: false });
        let cut = body(raw.as_bytes(), 99);
        assert_eq!((cut.text.len(), cut.cut), (99, true));
        let wide = body("[\"ää\"]".as_bytes(), 3);
        assert_eq!((wide.text.as_str(), wide.cut), ("[\"", true), "no half a character");
        let late = format!(r#"{{"value":"{}hunter2","path":"password"}}"#, "x".repeat(90));
        assert!(!body(late.as_bytes(), 100).text.contains("xx"), "the path stands behind the cut");
        let deep = "[".repeat(100_000);
        assert!(body(deep.as_bytes(), 100).cut);
        assert_eq!(body(b"", 100), Excerpt { text: String::new(), cut: true });
    }

    #[test]
    fn a_query_keeps_its_filter_and_no_secret() {
        let of = |raw: &str| query(raw, 100).text;
        let asked = "filter=userName+eq+%22ada%22&count=1";
        assert_eq!(of(asked), asked);
        for raw in [
            "filter=password%20eq%20%22hunter2%22",
            "access_token=hunter2",
            "p%61ssword=hunter2",
            "x=vst_scim_hunter2",
            "x=%76st_scim_hunter2",
        ] {
            assert!(!of(raw).contains("hunter2"), "{}", of(raw));
        }
        assert_eq!(query("a=1234", 6), Excerpt { text: "a=1234".into(), cut: false });
        assert!(query("a=1234", 5).cut);
        assert_eq!(line("/scim/v2/Users", 100), "/scim/v2/Users");
        assert_eq!((line("/scim/v2", 5), line("/Users/vst_scim_x", 100)), ("/scim".into(), REDACTED.into()));
        assert!(!body(br#"{"title":"vst_scim_hunter2"}"#, 100).text.contains("hunter2"));
    }
}
