//! Attribute paths (RFC 7644 3.10): `name.givenName`, `urn:…:User:department`, a bare extension URN,
//! and PATCH's `emails[type eq "work"].value`. Syntax only; whether an attribute exists is not
//! decided here.

use crate::{
    ENTERPRISE_URN, GROUP_URN, Kind, Problem, ScimError, USER_URN,
    filter::{Filter, Parser},
};

/// Longest path or attribute name that is read.
pub const PATH_BYTES_MAX: usize = 1024;

/// `[urn:]name[.sub]`. A bare URN has an empty `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath {
    /// The schema's URN, in the spelling it goes by here if it has a schema here.
    pub urn: Option<String>,
    pub name: String,
    pub sub: Option<String>,
}

/// A PATCH path: an attribute, perhaps with a filter over its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub attr: AttrPath,
    pub filter: Option<Filter>,
}

/// URNs under which the schemas of SCIM 1.1 and 2.0 arrive, and the one by which they go here.
const KNOWN_URNS: [(&str, Option<&str>); 5] = [
    (ENTERPRISE_URN, Some(ENTERPRISE_URN)),
    ("urn:scim:schemas:extension:enterprise:1.0", Some(ENTERPRISE_URN)),
    (USER_URN, Some(USER_URN)),
    (GROUP_URN, Some(GROUP_URN)),
    ("urn:scim:schemas:core:1.0", None),
];

impl AttrPath {
    /// Reads a whole attribute path; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > PATH_BYTES_MAX {
            return None;
        }
        if !text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) {
            return Self::plain(None, text);
        }
        for (urn, kept) in KNOWN_URNS {
            let kept = kept.map(str::to_owned);
            match text.get(..urn.len()).filter(|start| start.eq_ignore_ascii_case(urn)) {
                Some(_) if text.len() == urn.len() => return Some(Self::bare(kept)),
                Some(_) => {
                    let rest = text.get(urn.len()..).unwrap_or_default();
                    if let Some(name) = rest.strip_prefix(':') {
                        return Self::plain(kept, name);
                    }
                }
                None => {}
            }
        }
        let (urn, last) = text.rsplit_once(':')?;
        if last.eq_ignore_ascii_case("user") || last.eq_ignore_ascii_case("group") {
            return Some(Self::bare(Some(text.to_owned())));
        }
        Self::plain(Some(urn.to_owned()), last)
    }
    const fn bare(urn: Option<String>) -> Self {
        Self { urn, name: String::new(), sub: None }
    }
    fn plain(urn: Option<String>, text: &str) -> Option<Self> {
        let (name, sub) = match text.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (text, None),
        };
        let fine = is_name(name) && sub.is_none_or(is_name);
        fine.then(|| Self { urn, name: name.to_owned(), sub: sub.map(str::to_owned) })
    }
    /// Of the core schema of this type, or of no schema it names?
    pub fn is_core_of(&self, kind: Kind) -> bool {
        self.urn.as_deref().is_none_or(|urn| urn == kind.urn())
    }
    /// Of no extension?
    pub fn is_core(&self) -> bool {
        self.is_core_of(Kind::User) || self.is_core_of(Kind::Group)
    }
    /// Is this the core attribute `name`, with this sub-attribute or none?
    pub fn is(&self, name: &str, sub: Option<&str>) -> bool {
        let same_sub = match (&self.sub, sub) {
            (None, None) => true,
            (Some(mine), Some(other)) => mine.eq_ignore_ascii_case(other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.is_core() && self.name.eq_ignore_ascii_case(name) && same_sub
    }
}

/// ATTRNAME of RFC 7643 2.1, and `$ref`.
fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

impl Path {
    /// Reads a PATCH path (RFC 7644 3.5.2). `invalidPath` when it is not one.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::of(Problem::PathSyntax, format!("not an attribute path: {text}"));
        if text.len() > PATH_BYTES_MAX {
            return Err(wrong());
        }
        let text = text.trim();
        let Some(open) = text.find('[') else {
            let attr = AttrPath::parse(text).ok_or_else(wrong)?;
            return Ok(Self { attr, filter: None });
        };
        let mut attr = text.get(..open).and_then(AttrPath::parse).ok_or_else(wrong)?;
        if attr.sub.is_some() || attr.name.is_empty() {
            return Err(wrong());
        }
        let mut parser = Parser::new(text.get(open..).unwrap_or_default());
        // A filter that is none is `invalidFilter` also in a path (RFC 7644 table 9).
        let is_whole = text.contains(']');
        let filter = parser.bracketed().map_err(|error| if is_whole { error } else { wrong() })?;
        attr.sub = match parser.rest() {
            "" => None,
            rest => Some(rest.strip_prefix('.').filter(|sub| is_name(sub)).ok_or_else(wrong)?.to_owned()),
        };
        Ok(Self { attr, filter: Some(filter) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(text: &str) -> (Option<String>, String, Option<String>) {
        let path = AttrPath::parse(text).unwrap();
        (path.urn, path.name, path.sub)
    }

    #[test]
    fn urns_are_split_where_the_name_begins_and_not_at_the_version() {
        let enterprise = Some(ENTERPRISE_URN.to_owned());
        assert_eq!(attr("name.givenName"), (None, "name".into(), Some("givenName".into())));
        assert_eq!(
            attr(&format!("{ENTERPRISE_URN}:manager.value")),
            (enterprise.clone(), "manager".into(), Some("value".into()))
        );
        assert_eq!(attr(&ENTERPRISE_URN.to_uppercase()), (enterprise.clone(), String::new(), None));
        assert_eq!(
            attr("urn:scim:schemas:extension:enterprise:1.0:department"),
            (enterprise, "department".into(), None)
        );
        assert_eq!(attr(&format!("{USER_URN}:userName")), (Some(USER_URN.into()), "userName".into(), None));
        assert_eq!(attr("urn:scim:schemas:core:1.0:userName"), (None, "userName".into(), None));
        let own = "urn:ietf:params:scim:schemas:extension:acme:2.0:User";
        assert_eq!(attr(own), (Some(own.into()), String::new(), None));
        assert_eq!(attr(&format!("{own}:tag")), (Some(own.into()), "tag".into(), None));
    }

    #[test]
    fn a_path_is_read_to_its_end_or_refused() {
        let path = Path::parse("emails[type eq \"work\"].value").unwrap();
        assert_eq!((path.attr.name.as_str(), path.attr.sub.as_deref()), ("emails", Some("value")));
        assert!(Path::parse("members[value eq \"a]b\"]").unwrap().filter.is_some());
        for bad in [
            "",
            "a b",
            "a.b.c",
            "emails[",
            "emails[type eq \"w\"]x",
            "emails[type eq \"w\"].",
            "emails.value[type eq \"w\"]",
            "[type eq \"w\"]",
            "1a",
            ".a",
        ] {
            let error = Path::parse(bad).unwrap_err();
            assert_eq!(error.scim_type, Some("invalidPath"), "{bad}");
        }
        for bad in ["emails[]", "emails[type]", "emails[active gt true]"] {
            assert_eq!(Path::parse(bad).unwrap_err().scim_type, Some("invalidFilter"), "{bad}");
        }
        let long = "a".repeat(PATH_BYTES_MAX);
        assert!(Path::parse(&long).is_ok());
        assert!(Path::parse(&format!("{long}a")).is_err());
    }
}
