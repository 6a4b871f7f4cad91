//! The filter language, whole (RFC 7644 3.4.2.2, figure 1): ten operators, `and` before `or`, `not`,
//! grouping and value paths, and Entra's `emails[type eq "work"].value eq "x"`, which the grammar lacks.
//! Recursive descent with a budget of depth and terms, spent while parsing: nothing a stranger sends
//! can exhaust the stack. What a filter means is decided in `matcher` and `served`.

use crate::{Problem, ScimError, path::AttrPath};
use serde_json::Value;

/// Longest filter that is read.
pub const FILTER_BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of `(` and `[`.
pub const FILTER_DEPTH_MAX: usize = 16;
/// Most comparisons in one filter.
pub const FILTER_TERMS_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

/// One filter, whatever it will be applied to.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Compare {
        path: AttrPath,
        op: Op,
        value: Value,
    },
    Present(AttrPath),
    /// One value of a multi-valued attribute satisfies the whole inner filter: `emails[...]`.
    /// Entra's `emails[a].b eq "x"` reads as `emails[a and b eq "x"]`.
    Some {
        path: AttrPath,
        inner: Box<Filter>,
    },
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
}

impl Filter {
    /// Reads the value of a `filter` parameter, already percent-decoded. `invalidFilter` when it is
    /// not one, too long, too deep or of too many terms.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(ScimError::of(
                Problem::FilterTooComplex,
                format!("at most {FILTER_BYTES_MAX} bytes"),
            ));
        }
        let mut parser = Parser::new(text);
        let filter = parser.alternatives(0, Inside::Top)?;
        match parser.rest() {
            "" => Ok(filter),
            rest => Err(syntax(format!("unexpected: {rest}"))),
        }
    }
}

impl Filter {
    /// How many comparisons it makes.
    pub(crate) fn terms(&self) -> usize {
        match self {
            Self::Compare { .. } | Self::Present(_) => 1,
            Self::Some { inner, .. } | Self::Not(inner) => inner.terms(),
            Self::And(all) | Self::Or(all) => all.iter().map(Self::terms).sum(),
        }
    }
}

fn syntax(detail: String) -> ScimError {
    ScimError::of(Problem::FilterSyntax, detail)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
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
        self.rest = self.rest.trim_start_matches(' ');
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
        self.rest =
            rest.strip_prefix(wanted).ok_or_else(|| syntax(format!("{wanted} expected at: {rest}")))?;
        Ok(())
    }
    /// The next run of name characters, not yet consumed.
    fn peek_word(&mut self) -> &'a str {
        let rest = self.rest();
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:$+".contains(c))).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
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

    fn alternatives(&mut self, depth: usize, inside: Inside) -> Result<Filter, ScimError> {
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
        if self.rest().starts_with('(') {
            return self.group(depth, inside);
        }
        let word = self.word();
        if word.eq_ignore_ascii_case("not") && self.rest().starts_with('(') {
            return Ok(Filter::Not(Box::new(self.group(depth, inside)?)));
        }
        let path = AttrPath::parse(word).filter(|path| !path.name.is_empty());
        let path = path.ok_or_else(|| syntax(format!("an attribute expected at: {word}{}", self.rest)))?;
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
                let word = self.word();
                let sub = AttrPath::parse(word).filter(|path| path.urn.is_none() && path.sub.is_none());
                let sub = sub.ok_or_else(|| syntax(format!("a sub-attribute expected at: {word}")))?;
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
            _ => return Err(syntax(format!("not an operator: {word}"))),
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
            Err(syntax(format!("{word} cannot compare with {value}")))
        }
    }
    /// A JSON string, number, boolean or null. `True` is Entra's spelling.
    fn literal(&mut self) -> Result<Value, ScimError> {
        let rest = self.rest();
        let Some(body) = rest.strip_prefix('"') else {
            let word = self.word().to_ascii_lowercase();
            return serde_json::from_str(&word).map_err(|_| syntax(format!("a value expected at: {rest}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!((error.status, error.scim_type), (400, Some("invalidFilter")), "{text}");
        error.code
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_takes_a_group() {
        let Filter::Or(all) = Filter::parse("a pr OR b pr and not (c pr)").unwrap() else { panic!() };
        assert_eq!(all.len(), 2);
        let Filter::And(both) = &all[1] else { panic!() };
        assert!(matches!(&both[1], Filter::Not(_)));
        assert!(matches!(Filter::parse("(a pr or b pr) and c pr").unwrap(), Filter::And(_)));
    }

    #[test]
    fn entras_sub_attribute_after_a_bracket_reads_as_a_conjunction_inside() {
        let theirs = Filter::parse(r#"emails[type eq "work"].value eq "x@y""#).unwrap();
        assert_eq!(theirs, Filter::parse(r#"emails[type eq "work" and value eq "x@y"]"#).unwrap());
    }

    #[test]
    fn strings_are_json_and_keywords_inside_them_are_text() {
        let Filter::Compare { value, .. } = Filter::parse(r#"userName eq "a\"b\\ and \u00e9) or""#).unwrap()
        else {
            panic!()
        };
        assert_eq!(value, "a\"b\\ and é) or");
        assert_eq!(
            Filter::parse("a eq TRUE").unwrap(),
            Filter::parse("A EQ true")
                .map(|f| match f {
                    Filter::Compare { op, value, .. } =>
                        Filter::Compare { path: AttrPath::parse("a").unwrap(), op, value },
                    other => other,
                })
                .unwrap()
        );
    }

    #[test]
    fn what_is_not_a_filter_is_refused() {
        for bad in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName eq x",
            "userName is \"x\"",
            "eq \"x\"",
            "userName eq \"x",
            "userName eq \"x\" and",
            "userName eq \"x\" userName eq \"y\"",
            "(a pr",
            "a pr)",
            "not a pr",
            "a[b[c pr]]",
            "a.b[c pr]",
            "a[b pr].c",
            "a[b pr].c.d pr",
            "a[]",
            "active gt true",
            "a gt null",
            "a co 5",
            "a eq \"\\x\"",
            "a eq \"\\u0000\"",
            "a eq {}",
            "a.b.c pr",
            "é pr",
            "urn:ietf:params:scim:schemas:core:2.0:User pr",
        ] {
            assert_eq!(code(bad), "scim.filter_syntax", "{bad}");
        }
    }

    #[test]
    fn depth_terms_and_length_are_bounded() {
        let nested = |levels: usize| format!("{}a pr{}", "(".repeat(levels), ")".repeat(levels));
        assert!(Filter::parse(&nested(FILTER_DEPTH_MAX)).is_ok());
        assert_eq!(code(&nested(FILTER_DEPTH_MAX + 1)), "scim.filter_too_complex");
        let within = |levels: usize| format!("{}a[b pr]{}", "(".repeat(levels), ")".repeat(levels));
        assert!(Filter::parse(&within(FILTER_DEPTH_MAX - 1)).is_ok());
        assert_eq!(code(&within(FILTER_DEPTH_MAX)), "scim.filter_too_complex");
        assert_eq!(code(&nested(8_000)), "scim.filter_too_complex");
        assert_eq!(code(&nested(200_000)), "scim.filter_too_complex");
        assert_eq!(code(&"not (".repeat(3_000)), "scim.filter_too_complex");
        let terms = |count: usize| vec!["a pr"; count].join(" or ");
        assert!(Filter::parse(&terms(FILTER_TERMS_MAX)).is_ok());
        assert_eq!(code(&terms(FILTER_TERMS_MAX + 1)), "scim.filter_too_complex");
        let long = |bytes: usize| format!("a eq \"{}\"", "x".repeat(bytes - 7));
        assert!(Filter::parse(&long(FILTER_BYTES_MAX)).is_ok());
        assert_eq!(code(&long(FILTER_BYTES_MAX + 1)), "scim.filter_too_complex");
    }

    #[test]
    fn no_cut_or_changed_byte_of_a_filter_makes_the_parser_panic() {
        let text = r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "é\n" and not (emails[type eq "w"].value sw "x") or m.n ge 5"#;
        assert!(Filter::parse(text).is_ok());
        for (at, _) in text.char_indices() {
            let _ = Filter::parse(&text[..at]);
            for put in ["\"", "[", "]", "(", ")", ".", "\\", " ", "é"] {
                let _ = Filter::parse(&format!("{}{put}{}", &text[..at], &text[at..]));
            }
        }
    }
}
