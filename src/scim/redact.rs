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
    /// Is a filter, a path or a value without a name left out? A refusal may quote it in any words.
    pub quotable: bool,
}

/// A JSON body, up to `bytes_max` bytes of it and as far as it is JSON. A value is redacted whose name is a
/// secret's, which a PATCH puts where one is kept or names no place for, or which looks like a credential of
/// ours.
pub fn body(raw: &[u8], bytes_max: usize) -> Excerpt {
    excerpt(Reader::of(raw), bytes_max)
}

/// The same of an answer, whose refusals quote what is left out of its request if that is `quotable`.
pub fn answer(raw: &[u8], bytes_max: usize, quotable: bool) -> Excerpt {
    excerpt(Reader { answers: Some(quotable), ..Reader::of(raw) }, bytes_max)
}

/// The words of a refusal, up to `bytes_max` bytes of them.
pub fn detail(said: &str, bytes_max: usize, quotable: bool) -> String {
    if quotable || shows_secret(said) { REDACTED.to_owned() } else { line(said, bytes_max) }
}

fn excerpt(mut reader: Reader<'_>, bytes_max: usize) -> Excerpt {
    let raw = reader.raw;
    let whole = reader.value(0).is_ok();
    let end = if whole { reader.at } else { reader.at.min(raw.len()) };
    let Reader { mut secrets, quotable, .. } = reader;
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
    Excerpt { text: text_of(&kept), cut, quotable }
}

/// The query of a URL, as it was sent. A parameter is redacted whose name is a secret's, and a filter that
/// compares one.
pub fn query(raw: &str, bytes_max: usize) -> Excerpt {
    let mut quotable = false;
    let part = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = plain(value);
        let compares = compares_secret(&plain);
        quotable |= compares;
        let is_secret = is_secret(&self::plain(name)) || compares || is_credential(&plain);
        if is_secret { format!("{name}={REDACTED}") } else { part.to_owned() }
    };
    let text = raw.split('&').map(part).collect::<Vec<_>>().join("&");
    let kept = text_of(text.as_bytes().get(..bytes_max).unwrap_or(text.as_bytes()));
    Excerpt { cut: text.len() > bytes_max, text: kept, quotable }
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

/// `password eq "…"`, in a filter or in a path, well formed or not: all but a secret's name alone.
fn compares_secret(text: &str) -> bool {
    let is_path = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._-".contains(&byte));
    let is_name = text.rsplit([':', '.']).next().is_some_and(|name| name.eq_ignore_ascii_case("password"));
    is_secret(text) && !(is_path && is_name)
}

/// A refusal's words show a value, and name a secret.
fn shows_secret(said: &str) -> bool {
    said.contains("received ") && is_secret(said)
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
    quotable: bool,
    /// Of an answer: is what its request left out quotable?
    answers: Option<bool>,
}

impl<'a> Reader<'a> {
    const fn of(raw: &'a [u8]) -> Self {
        Self { raw, at: 0, secrets: Vec::new(), quotable: false, answers: None }
    }

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
        if seen.path.unwrap_or(done.is_err()) {
            self.secrets.append(&mut seen.values);
        } else if seen.path.is_none() && seen.is_operation && !seen.bare.is_empty() {
            self.secrets.append(&mut seen.bare);
            self.quotable = true;
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
            ("value", _) => {
                if first != Some(b'{') {
                    seen.bare.push(span.clone());
                }
                seen.values.push(span);
            }
            ("op", _) => seen.is_operation = true,
            ("path", Some(text)) if text.trim().is_empty() => {}
            ("path", None) if done.is_ok() && first == Some(b'n') => {}
            ("path", text) => {
                let leads = text.as_deref().is_none_or(is_secret);
                seen.path = Some(leads || seen.path == Some(true));
                self.hide_if(text.as_deref().is_none_or(compares_secret), span);
            }
            ("filter", text) => self.hide_if(text.as_deref().is_none_or(compares_secret), span),
            ("detail", Some(text))
                if self.answers.is_some_and(|quotable| quotable || shows_secret(&text)) =>
            {
                self.secrets.push(span);
            }
            _ => {}
        }
        done
    }

    /// What a refusal may quote.
    fn hide_if(&mut self, is_secret: bool, span: Range<usize>) {
        if is_secret {
            self.secrets.push(span);
            self.quotable = true;
        }
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
    /// Those of them that are no object, so that nothing in them has a name.
    bare: Vec<Range<usize>>,
    /// Is it a PATCH's operation?
    is_operation: bool,
    /// Does its `path` lead to a secret? One that is no text may.
    path: Option<bool>,
}

#[cfg(test)]
mod tests;
