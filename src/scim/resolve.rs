//! From a filter's words to a `Condition` over one resource type. An attribute that the type does not
//! have is one without a value: nothing equals it (RFC 7644 3.4.2.1). A comparison that the attribute's
//! type does not admit is refused as `invalidFilter`: ordering of booleans and binaries by the RFC's own
//! word (3.4.2.2), a complex attribute without a `value`, text compared with a boolean.

use crate::{
    ENTERPRISE_URN, Filter, Kind, Problem, ScimError,
    attributes::{Attribute, ENTERPRISE, Shape, boolean, find, find_core},
    condition::{Case, Condition, How, List, Order, Place, Test},
    filter::Op,
    path::AttrPath,
};
use model::Timestamp;
use serde_json::Value;

type Resolved = Result<Condition, ScimError>;

/// What is asked of an attribute.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Present,
    Compare(Op, &'a Value),
}

impl Condition {
    /// What a filter asks of the resources of one type. Errors: `invalidFilter`.
    pub fn of(filter: &Filter, kind: Kind) -> Resolved {
        match filter {
            Filter::And(all) => Ok(Self::all(each(all, |one| Self::of(one, kind))?)),
            Filter::Or(any) => Ok(Self::any(each(any, |one| Self::of(one, kind))?)),
            Filter::Not(one) => Ok(Self::of(one, kind)?.negated()),
            Filter::Compare { path, op, value } => attribute(path, kind, Asked::Compare(*op, value)),
            Filter::Present(path) => attribute(path, kind, Asked::Present),
            Filter::Some { path, inner } => bracketed(path, kind, inner),
        }
    }

    /// What a filter asks of one value of a multi-valued attribute: PATCH's `emails[…]`.
    pub(crate) fn inside(filter: &Filter, of: &'static Attribute) -> Resolved {
        within(filter, &|path, asked| match part(path, of) {
            Some(sub) => existing(asked, |asked| tested(Place::Part(sub.name), sub, asked)),
            None => Ok(absent(asked)),
        })
    }

    /// What a filter asks of one value of a list that has no schema here.
    pub(crate) fn inside_foreign(filter: &Filter) -> Resolved {
        within(filter, &|path, asked| match (&path.urn, &path.sub) {
            (None, None) => existing(asked, |asked| foreign_part(&path.name, asked)),
            _ => Ok(absent(asked)),
        })
    }
}

fn each(filters: &[Filter], read: impl FnMut(&Filter) -> Resolved) -> Result<Vec<Condition>, ScimError> {
    filters.iter().map(read).collect()
}

fn refused(detail: String) -> ScimError {
    ScimError::of(Problem::FilterWrong, detail)
}

/// Of an attribute that is not there: nothing, so it equals null and differs from all else.
fn absent(asked: Asked<'_>) -> Condition {
    Condition::Constant(match asked {
        Asked::Present => false,
        Asked::Compare(op, Value::Null) => op == Op::Eq,
        Asked::Compare(op, _) => op == Op::Ne,
    })
}

/// `ne` says that no value is equal, `eq null` that there is none: each is the contrary of something
/// that some value has to be, and that alone is asked of `some`.
fn existing(asked: Asked<'_>, some: impl Fn(Asked<'_>) -> Resolved) -> Resolved {
    match asked {
        Asked::Compare(Op::Ne, Value::Null) | Asked::Present => some(Asked::Present),
        Asked::Compare(Op::Eq, Value::Null) => Ok(some(Asked::Present)?.negated()),
        Asked::Compare(Op::Ne, value) => Ok(some(Asked::Compare(Op::Eq, value))?.negated()),
        Asked::Compare(..) => some(asked),
    }
}

/// A filter within brackets: each of its attributes is read by `leaf`.
fn within(filter: &Filter, leaf: &dyn Fn(&AttrPath, Asked<'_>) -> Resolved) -> Resolved {
    match filter {
        Filter::And(all) => Ok(Condition::all(each(all, |one| within(one, leaf))?)),
        Filter::Or(any) => Ok(Condition::any(each(any, |one| within(one, leaf))?)),
        Filter::Not(one) => Ok(within(one, leaf)?.negated()),
        Filter::Compare { path, op, value } => leaf(path, Asked::Compare(*op, value)),
        Filter::Present(path) => leaf(path, Asked::Present),
        Filter::Some { .. } => Err(refused("brackets cannot stand in brackets".to_owned())),
    }
}

fn part(path: &AttrPath, of: &'static Attribute) -> Option<&'static Attribute> {
    let plain = path.urn.is_none() && path.sub.is_none();
    plain.then(|| find(of.subs(), &path.name)).flatten()
}

/// A single-valued attribute of one type, and the extension that it stands in.
#[derive(Clone, Copy)]
struct Found {
    kind: Kind,
    extension: Option<&'static str>,
    attribute: &'static Attribute,
}

/// The attribute that a path names in a type's own schemas.
fn known(path: &AttrPath, kind: Kind) -> Option<Found> {
    let of = |extension, attribute| Found { kind, extension, attribute };
    match path.urn.as_deref() {
        Some(ENTERPRISE_URN) if kind == Kind::User => {
            find(&ENTERPRISE, &path.name).map(|found| of(Some(ENTERPRISE_URN), found))
        }
        _ if path.is_core_of(kind) => find_core(kind, &path.name).map(|found| of(None, found)),
        _ => None,
    }
}

/// `urn:…:name` of an extension that has no schema here. Users alone carry such.
fn foreign(path: &AttrPath, kind: Kind) -> Option<List> {
    let urn = path.urn.as_deref().filter(|urn| *urn != ENTERPRISE_URN && !path.is_core())?;
    (kind == Kind::User)
        .then(|| List::Foreign { urn: urn.to_ascii_lowercase(), name: path.name.to_ascii_lowercase() })
}

fn foreign_part(name: &str, asked: Asked<'_>) -> Resolved {
    Ok(Condition::some(List::ForeignPart(name.to_ascii_lowercase()), loose(asked)?))
}

fn attribute(path: &AttrPath, kind: Kind, asked: Asked<'_>) -> Resolved {
    if let Some(list) = foreign(path, kind) {
        return existing(asked, |asked| {
            let inner = path.sub.as_ref().map_or_else(|| loose(asked), |sub| foreign_part(sub, asked));
            Ok(Condition::some(list.clone(), inner?))
        });
    }
    let Some(found) = known(path, kind) else { return Ok(absent(asked)) };
    let sub = path.sub.as_ref().map(|name| find(found.attribute.subs(), name));
    match (found.attribute.many, sub) {
        (_, Some(None)) => Ok(absent(asked)),
        (true, sub) => existing(asked, |asked| many(found.attribute, sub.flatten(), asked)),
        (false, Some(sub)) => found.single(sub, asked),
        (false, None) => found.whole(asked),
    }
}

/// Some value of a list.
fn many(of: &'static Attribute, sub: Option<&'static Attribute>, asked: Asked<'_>) -> Resolved {
    let inner = match (sub, asked, find(of.subs(), "value")) {
        (Some(sub), ..) => tested(Place::Part(sub.name), sub, asked)?,
        // A list that is there holds something.
        (None, Asked::Present, _) => Condition::Constant(true),
        // Ping compares a complex attribute: by its value.
        (None, _, Some(value)) => tested(Place::Part(value.name), value, asked)?,
        (None, _, None) if of.subs().is_empty() => tested(Place::Itself, of, asked)?,
        (None, _, None) => return Err(no_value(of)),
    };
    Ok(Condition::some(list(of.name), inner))
}

fn no_value(of: &Attribute) -> ScimError {
    refused(format!("{0} is complex: compare one of its sub-attributes, as in {0}.…", of.name))
}

fn bracketed(path: &AttrPath, kind: Kind, inner: &Filter) -> Resolved {
    if let Some(list) = foreign(path, kind) {
        return Ok(Condition::some(list, Condition::inside_foreign(inner)?));
    }
    match known(path, kind) {
        Some(found) if found.attribute.many => {
            let inner = Condition::inside(inner, found.attribute)?;
            Ok(Condition::some(list(found.attribute.name), inner))
        }
        // The one value of a complex attribute has to be there; its parts are places like others.
        Some(found) if !found.attribute.subs().is_empty() => {
            let inner = within(inner, &|path, asked| match part(path, found.attribute) {
                Some(sub) => found.single(Some(sub), asked),
                None => Ok(absent(asked)),
            })?;
            Ok(Condition::all(vec![found.whole(Asked::Present)?, inner]))
        }
        Some(_) | None => Ok(Condition::Constant(false)),
    }
}

pub(crate) fn list(name: &'static str) -> List {
    match name {
        "schemas" => List::Schemas,
        "emails" => List::Emails,
        "groups" => List::Groups,
        "members" => List::Members,
        name => List::Document(name),
    }
}

impl Found {
    fn whole(self, asked: Asked<'_>) -> Resolved {
        let Shape::Complex(subs) = self.attribute.shape else { return self.single(None, asked) };
        match (asked, find(subs, "value")) {
            (Asked::Present | Asked::Compare(_, Value::Null), _) => existing(asked, |asked| {
                let parts = subs.iter().map(|sub| self.single(Some(sub), asked));
                Ok(Condition::any(parts.collect::<Result<_, _>>()?))
            }),
            (Asked::Compare(..), Some(value)) => self.single(Some(value), asked),
            (Asked::Compare(..), None) => Err(no_value(self.attribute)),
        }
    }

    fn single(self, sub: Option<&'static Attribute>, asked: Asked<'_>) -> Resolved {
        let leaf = sub.unwrap_or(self.attribute);
        let Some(place) = place(self.extension, self.attribute, sub) else {
            let tested = existing(asked, |asked| tested(Place::Itself, leaf, asked))?;
            return Ok(Condition::Constant(tested.matches(&Value::from(self.kind.name()))));
        };
        existing(asked, |asked| tested(place.clone(), leaf, asked))
    }
}

/// Where a single value stands; `None` for the resource type, which is all resources' alike.
pub(crate) fn place(
    extension: Option<&'static str>,
    attribute: &Attribute,
    sub: Option<&'static Attribute>,
) -> Option<Place> {
    Some(match (extension, attribute.name, sub.map(|sub| sub.name)) {
        (None, "meta", Some("resourceType")) => return None,
        (None, "id", None) => Place::Id,
        (None, "externalId", None) => Place::ExternalId,
        (None, "userName", None) => Place::UserName,
        (None, "displayName", None) => Place::DisplayName,
        (None, "active", None) => Place::Active,
        (None, "name", Some("givenName")) => Place::GivenName,
        (None, "name", Some("familyName")) => Place::FamilyName,
        (None, "meta", Some("created")) => Place::Created,
        (None, "meta", Some("lastModified")) => Place::LastModified,
        (None, "meta", Some("location")) => Place::Location,
        (None, "meta", Some("version")) => Place::Version,
        (extension, _, sub) => Place::Document { extension, name: attribute.name, sub },
    })
}

fn how(op: Op) -> How {
    match op {
        Op::Eq | Op::Ne => How::Ordered(Order::Equal),
        Op::Gt => How::Ordered(Order::Above),
        Op::Ge => How::Ordered(Order::AtLeast),
        Op::Lt => How::Ordered(Order::Below),
        Op::Le => How::Ordered(Order::AtMost),
        Op::Co => How::Contains,
        Op::Sw => How::Starts,
        Op::Ew => How::Ends,
    }
}

/// The test of a value whose type the schema knows.
fn tested(place: Place, attribute: &Attribute, asked: Asked<'_>) -> Resolved {
    let Asked::Compare(op, value) = asked else { return Ok(Condition::value(place, Test::Present)) };
    let name = attribute.name;
    let test = match (attribute.shape, how(op), value) {
        (Shape::Boolean, How::Ordered(Order::Equal), value) => boolean(value)
            .map(Test::Flag)
            .ok_or_else(|| refused(format!("{name} is true or false; it is compared with {value}")))?,
        (Shape::Boolean, ..) => {
            return Err(refused(format!("{name} is true or false: eq, ne and pr alone apply to it")));
        }
        (Shape::Binary, How::Ordered(Order::Above | Order::AtLeast | Order::Below | Order::AtMost), _) => {
            return Err(refused(format!("{name} is binary and has no order")));
        }
        (Shape::DateTime, How::Ordered(order), Value::String(text)) => match instant(text) {
            Some(wanted) => Test::Time { order, wanted },
            None => {
                return Err(refused(format!(
                    "{name} is compared with a time like \"2026-11-20T12:00:00Z\", not {value}"
                )));
            }
        },
        (_, how, Value::String(wanted)) => Test::text(how, wanted, Case::of(attribute.exact)),
        (Shape::Text, how, Value::Number(wanted)) => {
            Test::text(how, &wanted.to_string(), Case::of(attribute.exact))
        }
        (_, _, value) => return Err(refused(format!("{name} cannot be compared with {value}"))),
    };
    Ok(Condition::value(place, test))
}

/// A time without a zone is meant in UTC: `xsd:dateTime` allows it (RFC 7643 2.3.5).
fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|_| Timestamp::parse_rfc3339(&format!("{text}Z"))).ok()
}

/// The test of a value whose type only its JSON knows: text without letter case, numbers by size, and
/// `"True"` for a boolean as everywhere.
fn loose(asked: Asked<'_>) -> Resolved {
    let itself = |test| Condition::value(Place::Itself, test);
    let Asked::Compare(op, value) = asked else { return Ok(itself(Test::Present)) };
    match (how(op), value) {
        (how, Value::String(wanted)) => {
            let mut any = vec![itself(Test::text(how, wanted, Case::Folded))];
            any.extend(
                boolean(value)
                    .filter(|_| how == How::Ordered(Order::Equal))
                    .map(|flag| itself(Test::Flag(flag))),
            );
            Ok(Condition::any(any))
        }
        (How::Ordered(order), Value::Number(wanted)) => {
            Ok(itself(Test::Number { order, wanted: wanted.clone() }))
        }
        (How::Ordered(Order::Equal), Value::Bool(wanted)) => Ok(itself(Test::Flag(*wanted))),
        (_, value) => Err(refused(format!("there is no such comparison with {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(filter: &str, kind: Kind) -> Resolved {
        Condition::of(&Filter::parse(filter).unwrap(), kind)
    }

    #[test]
    fn what_a_type_does_not_admit_is_refused_as_an_invalid_filter() {
        for bad in [
            r#"active gt "true""#,
            r#"active co "t""#,
            r#"active eq "yes""#,
            "active eq 1",
            r#"emails[primary ge "true"]"#,
            r#"x509Certificates.value gt "MII""#,
            r#"x509Certificates lt "MII""#,
            r#"meta.created eq "yesterday""#,
            "meta.created gt 5",
            "userName eq true",
            r#"name eq "Ada""#,
            r#"addresses eq "Bern""#,
            r#"emails[value eq true]"#,
            r#"not (active sw "t")"#,
        ] {
            let error = of(bad, Kind::User).unwrap_err();
            assert_eq!((error.code, error.scim_type), ("scim.filter_wrong", Some("invalidFilter")), "{bad}");
        }
    }

    #[test]
    fn what_can_never_hold_is_known_before_anybody_looks() {
        for never in [
            "colour pr",
            r#"userName eq "a" and colour eq "b""#,
            r#"emails[colour eq "b"]"#,
            r#"members eq "x""#,
            r#"meta.resourceType eq "Group""#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:colour pr"#,
        ] {
            assert_eq!(of(never, Kind::User), Ok(Condition::Constant(false)), "{never}");
        }
        assert_eq!(of("colour pr or not (colour pr)", Kind::User), Ok(Condition::Constant(true)));
        assert_eq!(of("urn:acme:User:tag pr", Kind::Group), Ok(Condition::Constant(false)));
    }

    #[test]
    fn the_questions_of_every_client_are_narrow() {
        for (filter, kind) in [
            (r#"userName eq "a""#, Kind::User),
            (r#"externalId eq "a" and active eq true"#, Kind::User),
            (r#"emails[type eq "work"].value eq "a""#, Kind::User),
            (r#"emails eq "a" or id eq "b""#, Kind::User),
            (r#"displayName eq "a""#, Kind::Group),
            (r#"id eq "g" and members eq "u""#, Kind::Group),
            (r#"members eq "u""#, Kind::Group),
        ] {
            assert!(of(filter, kind).unwrap().is_narrow(), "{filter}");
        }
        for filter in [r#"userName sw "a""#, r#"not (userName eq "a")"#, r#"id eq "a" or active eq true"#] {
            assert!(!of(filter, Kind::User).unwrap().is_narrow(), "{filter}");
        }
    }
}
