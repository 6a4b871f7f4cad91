//! The filter language, whole (RFC 7644 3.4.2.2, figure 1): ten operators, `and` before `or`, `not`,
//! grouping and value paths, and Entra's `emails[type eq "work"].value eq "x"`, which the grammar lacks.
//! Recursive descent with a budget of depth and terms, spent while parsing: nothing a stranger sends
//! can exhaust the stack. What a filter means of one resource type is decided in `resolve`.

mod parser;

pub(crate) use parser::Parser;

use crate::{Problem, ScimError, path::AttrPath};
use parser::{Inside, syntax};
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
    fn a_plus_sign_is_a_blank_where_it_can_be_nothing_else() {
        let plain = Filter::parse(r#"userName eq "a+b" and not (level gt 1e+5)"#).unwrap();
        assert_eq!(Filter::parse(r#"userName+eq+"a+b"+and+not+(level+gt+1e+5)"#).unwrap(), plain);
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
    fn where_a_filter_breaks_off_is_said() {
        for (bad, wanted) in [
            ("userName eq", "a value expected at the end"),
            ("userName eq ", "a value expected at the end"),
            ("userName", "an operator expected at the end"),
            ("userName eq \"a\" and", "an attribute expected at the end"),
            ("((((", "an attribute expected at the end"),
            ("(a pr", ") expected at the end"),
            ("a[b pr].", "a sub-attribute expected at the end"),
            ("userName eq x or", "a value expected at: x or"),
            ("userName is \"x\"", "an operator expected at: is \"x\""),
            ("a pr and \"x\"", "an attribute expected at: \"x\""),
        ] {
            assert_eq!(Filter::parse(bad).unwrap_err().detail, wanted, "{bad}");
        }
    }

    /// It is a filter, and one that compares what cannot be compared.
    #[test]
    fn an_order_of_booleans_and_the_like_are_read_and_refused() {
        for bad in ["active gt true", "active lt true", "a ge false", "a le null", "a co 5", "a sw true"] {
            assert_eq!(code(bad), "scim.filter_wrong", "{bad}");
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
