//! The reader of filters: RFC 7644 3.4.2.2, figure 1, by recursive descent. A `+` outside a string and
//! outside a number is a blank: some clients' blanks arrive so.

use super::{FILTER_DEPTH_MAX, FILTER_TERMS_MAX, Filter, Op};
use crate::{Problem, ScimError, path::AttrPath};
use serde_json::Value;

pub(super) fn syntax(detail: String) -> ScimError {
    ScimError::of(Problem::FilterSyntax, detail)
}

/// Something else stands there, or nothing.
fn expected(what: &str, rest: &str) -> ScimError {
    syntax(if rest.is_empty() {
        format!("{what} expected at the end")
    } else {
        format!("{what} expected at: {rest}")
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Top,
    /// Within `[...]`, where the grammar has no second `[`.
    Brackets,
}

pub(crate) struct Parser<'a> {
    rest: &'a str,
    terms: usize,
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text, terms: 0 }
    }
    /// What has not been read.
    pub(crate) fn rest(&mut self) -> &'a str {
        self.rest = self.rest.trim_start_matches([' ', '+']);
        self.rest
    }
    /// Reads `[...]`, the whole of it.
    pub(crate) fn bracketed(&mut self) -> Result<Filter, ScimError> {
        self.take('[')?;
        let inner = self.alternatives(1, Inside::Brackets)?;
        // The caller looks at what follows without skipping blanks.
        self.take(']')?;
        Ok(inner)
    }

    fn take(&mut self, wanted: char) -> Result<(), ScimError> {
        let rest = self.rest();
        self.rest = rest.strip_prefix(wanted).ok_or_else(|| expected(&wanted.to_string(), rest))?;
        Ok(())
    }
    /// The next run of name characters, not yet consumed.
    fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        let is_number = rest.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let mut before = ' ';
        let end = rest.find(|c: char| {
            let exponent = c == '+' && is_number && before.eq_ignore_ascii_case(&'e');
            before = c;
            !(exponent || c.is_ascii_alphanumeric() || "-_.:$".contains(c))
        });
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }
    fn word(&mut self) -> &'a str {
        let word = self.peek_word();
        self.rest = self.rest.get(word.len()..).unwrap_or_default();
        word
    }
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_word().eq_ignore_ascii_case(keyword);
        if found {
            self.word();
        }
        found
    }

    pub(super) fn alternatives(&mut self, depth: usize, inside: Inside) -> Result<Filter, ScimError> {
        if depth > FILTER_DEPTH_MAX {
            return Err(ScimError::of(
                Problem::FilterTooComplex,
                format!("at most {FILTER_DEPTH_MAX} levels"),
            ));
        }
        let first = self.conjunction(depth, inside)?;
        let mut all = vec![first];
        while self.keyword("or") {
            all.push(self.conjunction(depth, inside)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::Or(all) })
    }
    fn conjunction(&mut self, depth: usize, inside: Inside) -> Result<Filter, ScimError> {
        let first = self.factor(depth, inside)?;
        let mut all = vec![first];
        while self.keyword("and") {
            all.push(self.factor(depth, inside)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }
    fn factor(&mut self, depth: usize, inside: Inside) -> Result<Filter, ScimError> {
        let rest = self.rest();
        if rest.starts_with('(') {
            return self.group(depth, inside);
        }
        let word = self.word();
        if word.eq_ignore_ascii_case("not") && self.rest().starts_with('(') {
            return Ok(Filter::Not(Box::new(self.group(depth, inside)?)));
        }
        let path = AttrPath::parse(word).filter(|path| !path.name.is_empty());
        let path = path.ok_or_else(|| expected("an attribute", rest))?;
        if self.rest.starts_with('[') {
            if inside == Inside::Brackets || path.sub.is_some() {
                return Err(syntax("a [ cannot stand here".into()));
            }
            return self.value_path(path, depth);
        }
        self.comparison(path)
    }
    fn group(&mut self, depth: usize, inside: Inside) -> Result<Filter, ScimError> {
        self.take('(')?;
        let inner = self.alternatives(depth + 1, inside)?;
        self.take(')')?;
        Ok(inner)
    }
    fn value_path(&mut self, path: AttrPath, depth: usize) -> Result<Filter, ScimError> {
        self.take('[')?;
        let inner = self.alternatives(depth + 1, Inside::Brackets)?;
        self.take(']')?;
        let inner = match self.rest.strip_prefix('.') {
            None => inner,
            Some(rest) => {
                self.rest = rest;
                let rest = self.rest();
                let word = self.word();
                let sub = AttrPath::parse(word).filter(|path| path.urn.is_none() && path.sub.is_none());
                let sub = sub.ok_or_else(|| expected("a sub-attribute", rest))?;
                let last = self.comparison(sub)?;
                match inner {
                    Filter::And(mut all) => {
                        all.push(last);
                        Filter::And(all)
                    }
                    other => Filter::And(vec![other, last]),
                }
            }
        };
        Ok(Filter::Some { path, inner: Box::new(inner) })
    }
    fn comparison(&mut self, path: AttrPath) -> Result<Filter, ScimError> {
        self.terms += 1;
        if self.terms > FILTER_TERMS_MAX {
            return Err(ScimError::of(
                Problem::FilterTooComplex,
                format!("at most {FILTER_TERMS_MAX} terms"),
            ));
        }
        let rest = self.rest();
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let op = match word.to_ascii_lowercase().as_str() {
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "co" => Op::Co,
            "sw" => Op::Sw,
            "ew" => Op::Ew,
            "gt" => Op::Gt,
            "ge" => Op::Ge,
            "lt" => Op::Lt,
            "le" => Op::Le,
            _ => return Err(expected("an operator", rest)),
        };
        let value = self.literal()?;
        let fits = match op {
            Op::Eq | Op::Ne => true,
            Op::Co | Op::Sw | Op::Ew => value.is_string(),
            Op::Gt | Op::Ge | Op::Lt | Op::Le => value.is_string() || value.is_number(),
        };
        if fits {
            Ok(Filter::Compare { path, op, value })
        } else {
            Err(ScimError::of(Problem::FilterWrong, format!("{word} cannot compare with {value}")))
        }
    }
    /// A JSON string, number, boolean or null. `True` is Entra's spelling.
    fn literal(&mut self) -> Result<Value, ScimError> {
        let rest = self.rest();
        let Some(body) = rest.strip_prefix('"') else {
            let word = self.word().to_ascii_lowercase();
            return serde_json::from_str(&word).map_err(|_| expected("a value", rest));
        };
        let mut escaped = false;
        let close = body.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let end = close.map(|(at, _)| at + 2).ok_or_else(|| syntax("a string does not end".into()))?;
        let (token, rest) =
            rest.split_at_checked(end).ok_or_else(|| syntax("a string does not end".into()))?;
        self.rest = rest;
        let text: String =
            serde_json::from_str(token).map_err(|_| syntax(format!("not a JSON string: {token}")))?;
        if text.contains('\0') {
            return Err(syntax("a NUL character matches nothing".into()));
        }
        Ok(Value::String(text))
    }
}
