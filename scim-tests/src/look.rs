//! Finding values in an answer: `emails[type=work].value`, `Resources[*].id`,
//! `"urn:…:User".department`. Attribute names are compared in any letter case (RFC 7643 2.1), so a
//! server is not blamed for its spelling. `$` alone is the whole body.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Name(String),
    Index(usize),
    Every,
    /// Elements whose member of this name has this text.
    Where(String, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Segment>);

impl Path {
    /// Reads a path up to the first blank outside quotes and brackets; returns what follows it too.
    pub fn parse(text: &str) -> Result<(Self, &str), String> {
        let mut segments = Vec::new();
        let mut rest = text.trim_start();
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        }
        loop {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some(quoted) = rest.strip_prefix('"') {
                let (name, after) = quoted.split_once('"').ok_or("an open quote")?;
                segments.push(Segment::Name(name.into()));
                rest = after;
            } else if let Some(bracket) = rest.strip_prefix('[') {
                let (inner, after) = bracket.split_once(']').ok_or("an open bracket")?;
                segments.push(bracketed(inner)?);
                rest = after;
            } else {
                let end = rest.find(['.', '[', ' ']).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                if name.is_empty() {
                    return Ok((Self(segments), after));
                }
                segments.push(Segment::Name(name.into()));
                rest = after;
            }
        }
    }

    /// Can it lead to several values?
    pub fn is_many(&self) -> bool {
        self.0.iter().any(|one| matches!(one, Segment::Every | Segment::Where(..)))
    }

    /// Every value it leads to; a null is no value.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for segment in &self.0 {
            found = found.into_iter().flat_map(|value| step(segment, value)).collect();
        }
        found.retain(|value| !value.is_null());
        found
    }
}

fn bracketed(inner: &str) -> Result<Segment, String> {
    if inner == "*" {
        return Ok(Segment::Every);
    }
    if let Some((name, text)) = inner.split_once('=') {
        return Ok(Segment::Where(name.into(), text.into()));
    }
    inner.parse().map(Segment::Index).map_err(|_| format!("[{inner}] is no index"))
}

fn step<'a>(segment: &Segment, value: &'a Value) -> Vec<&'a Value> {
    match (segment, value) {
        (Segment::Name(name), _) => member(value, name).into_iter().collect(),
        (Segment::Index(index), Value::Array(list)) => list.get(*index).into_iter().collect(),
        (Segment::Every, Value::Array(list)) => list.iter().collect(),
        (Segment::Where(name, text), Value::Array(list)) => list
            .iter()
            .filter(|one| member(one, name).is_some_and(|value| plain(value).eq_ignore_ascii_case(text)))
            .collect(),
        (Segment::Index(_) | Segment::Every | Segment::Where(..), _) => Vec::new(),
    }
}

/// A member by its name in any letter case.
pub fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A member's text, empty when it is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    member(value, name).and_then(Value::as_str).unwrap_or_default()
}

/// A value as one would write it without quotes.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Is `part` within `whole`? Objects by their named members, arrays element by element in any order,
/// everything else by equality.
pub fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(_), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| member(whole, name).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.iter().all(|one| found.iter().any(|candidate| covers(candidate, one)))
        }
        _ => whole == part,
    }
}

/// Is there nothing: missing, null or an empty array (RFC 7643 2.5)?
pub fn is_unassigned(found: &[&Value]) -> bool {
    found.iter().all(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty))
}

/// Puts the members of `more` over those of `base`; a null takes a member away.
pub fn merge(base: &mut Value, more: &Value) {
    let (Some(base), Some(more)) = (base.as_object_mut(), more.as_object()) else { return };
    for (name, value) in more {
        if value.is_null() {
            base.remove(name);
        } else {
            base.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(path: &str, root: &Value) -> Vec<Value> {
        Path::parse(path).unwrap().0.find(root).into_iter().cloned().collect()
    }

    #[test]
    fn a_path_leads_where_it_says() {
        let user = json!({"userName": "a", "Emails": [{"type": "work", "value": "w"}, {"type": "home", "value": "h"}],
            "urn:x:2.0:User": {"department": "d"}, "nickName": null});
        assert_eq!(find("username", &user), [json!("a")]);
        assert_eq!(find("emails[0].value", &user), [json!("w")]);
        assert_eq!(find("emails[type=HOME].value", &user), [json!("h")]);
        assert_eq!(find("emails[*].value", &user), [json!("w"), json!("h")]);
        assert_eq!(find("\"urn:x:2.0:User\".department", &user), [json!("d")]);
        assert_eq!(find("nickName", &user), [json!(null); 0]);
        assert_eq!(find("$", &user).len(), 1);
        assert_eq!(Path::parse("emails[type=work] count 2").unwrap().1, " count 2");
        assert!(Path::parse("emails[x]").is_err() && Path::parse("\"open").is_err());
    }

    #[test]
    fn covering_is_by_the_named_members() {
        let whole = json!({"a": 1, "b": [{"c": 1, "d": 2}, {"c": 3}]});
        assert!(covers(&whole, &json!({"B": [{"c": 3}, {"d": 2}]})));
        assert!(!covers(&whole, &json!({"b": [{"c": 4}]})));
    }
}
