//! Lists: paging, the parameters of a GET and the body of a POST to `.search`, and the ListResponse
//! (RFC 7644 3.4.2 and 3.4.3). Out-of-range numbers are bent as 3.4.2.4 says; what is not a number is
//! refused. Sorting is not announced, so `sortBy` is passed over.

use crate::{Filter, Object, Problem, Projection, ScimError, dialect, get};
use serde_json::{Value, json};

/// Most resources of one page; announced as `filter.maxResults`.
pub const COUNT_MAX: u32 = 200;
/// Page size when the client names none.
pub const COUNT_DEFAULT: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// 1-based index of the first result.
    pub start_index: u64,
    /// At most so many results, 0 to `COUNT_MAX`; 0 asks for the total alone.
    pub count: u32,
}

impl Paging {
    /// Reads `startIndex` and `count`. `invalidValue` when one is not an integer.
    pub fn parse(start_index: Option<&str>, count: Option<&str>) -> Result<Self, ScimError> {
        let integer =
            |name: &str, text: Option<&str>| match text.map(str::trim).filter(|text| !text.is_empty()) {
                None => Ok(None),
                Some(text) => text
                    .parse::<i64>()
                    .map(Some)
                    .map_err(|_| ScimError::of(Problem::QueryWrong, format!("{name} must be an integer"))),
            };
        let start_index = integer("startIndex", start_index)?.map_or(1, |start| start.max(1));
        let count =
            integer("count", count)?.unwrap_or(i64::from(COUNT_DEFAULT)).clamp(0, i64::from(COUNT_MAX));
        Ok(Self {
            start_index: u64::try_from(start_index).unwrap_or(1),
            count: u32::try_from(count).unwrap_or(COUNT_MAX),
        })
    }
    /// How many results stand before the page; fits Postgres' bigint.
    pub fn offset(self) -> i64 {
        i64::try_from(self.start_index.saturating_sub(1)).unwrap_or(i64::MAX)
    }
}

/// Everything a list request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    pub filter: Option<Filter>,
    pub paging: Paging,
    pub projection: Projection,
}

impl ListQuery {
    /// From the decoded query parameters, names in any letter case. A repeated parameter is refused.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ScimError> {
        let mut fields = Object::new();
        for (name, value) in pairs {
            let name = name.to_ascii_lowercase();
            if FIELDS.contains(&name.as_str()) && fields.insert(name, Value::from(value)).is_some() {
                return Err(ScimError::of(Problem::QueryWrong, "a parameter is given twice"));
            }
        }
        Self::from_fields(&fields)
    }

    /// From the body of a `.search` request.
    pub fn from_search(body: &[u8]) -> Result<Self, ScimError> {
        Self::from_fields(&dialect::read(body)?)
    }

    fn from_fields(fields: &Object) -> Result<Self, ScimError> {
        let text = |name: &str| match get(fields, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(list)) => {
                let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                names.map(|names| Some(names.join(","))).ok_or_else(|| wrong(name))
            }
            Some(Value::Bool(_) | Value::Object(_)) => Err(wrong(name)),
        };
        let filter = text("filter")?.filter(|filter| !filter.trim().is_empty());
        Ok(Self {
            filter: filter.map(|filter| Filter::parse(&filter)).transpose()?,
            paging: Paging::parse(text("startIndex")?.as_deref(), text("count")?.as_deref())?,
            projection: Projection::parse(
                text("attributes")?.as_deref(),
                text("excludedAttributes")?.as_deref(),
            )?,
        })
    }
}

const FIELDS: [&str; 5] = ["filter", "startindex", "count", "attributes", "excludedattributes"];

fn wrong(name: &str) -> ScimError {
    ScimError::of(Problem::QueryWrong, format!("{name} cannot have this value"))
}

/// The ListResponse of a page (RFC 7644 3.4.2). `total` counts all matches, not the page.
pub fn list_response(total: u64, start_index: u64, resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_bent_and_what_is_no_number_is_refused() {
        let page = |start, count| Paging::parse(Some(start), Some(count)).map(|p| (p.start_index, p.count));
        assert_eq!(page("0", "-5"), Ok((1, 0)));
        assert_eq!(page("-9", "200"), Ok((1, 200)));
        assert_eq!(page("101", "201"), Ok((101, COUNT_MAX)));
        assert_eq!(Paging::parse(None, None).unwrap(), Paging { start_index: 1, count: COUNT_DEFAULT });
        for bad in ["x", "1.5", "99999999999999999999"] {
            assert_eq!(page(bad, "1").unwrap_err().code, "scim.query_wrong", "{bad}");
            assert!(page("1", bad).is_err());
        }
        assert_eq!(Paging::parse(Some("9223372036854775807"), None).unwrap().offset(), i64::MAX - 1);
    }

    #[test]
    fn a_search_body_says_what_a_query_says() {
        let get = ListQuery::from_pairs([
            ("filter", "userName eq \"a\""),
            ("startIndex", "2"),
            ("count", "3"),
            ("attributes", "userName,emails"),
            ("sortBy", "x"),
            ("aadOptscim062020", ""),
        ])
        .unwrap();
        let post = ListQuery::from_search(
            br#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter":"userName eq \"a\"","startIndex":2,"count":3,"attributes":["userName","emails"]}"#,
        )
        .unwrap();
        assert_eq!(get, post);
        assert!(ListQuery::from_pairs([("filter", "a pr"), ("Filter", "b pr")]).is_err());
        assert!(ListQuery::from_search(br#"{"filter":{}}"#).is_err());
        assert!(ListQuery::from_search(br#"{"attributes":["a"],"excludedAttributes":["b"]}"#).is_err());
    }
}
