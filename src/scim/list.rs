//! Lists: the parameters of a GET and the body of a POST to `.search`, paging by index (RFC 7644
//! 3.4.2.4) and by cursor (RFC 9865), and the ListResponse. Out-of-range numbers are bent as 3.4.2.4
//! says; what is not a number is refused.

use crate::{Filter, Object, Problem, Projection, ScimError, SortBy, dialect, get};
use serde_json::{Value, json};

/// Most resources of one page; announced as `filter.maxResults`.
pub const COUNT_MAX: u32 = 200;
/// Page size when the client names none.
pub const COUNT_DEFAULT: u32 = 100;
/// How long a cursor is good for; each page gives a new one. Announced as `pagination.cursorTimeout`.
pub const CURSOR_SECS: i64 = 3600;

/// Which page of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// 1-based index of the first result.
    Index(u64),
    /// Where the page before ended, as it was told; `None` asks for the first one.
    Cursor(Option<String>),
}

/// Everything a list request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    pub filter: Option<Filter>,
    pub sort: Option<SortBy>,
    pub paging: Paging,
    /// At most so many results, 0 to `COUNT_MAX`; 0 asks for the total alone.
    pub count: u32,
    pub projection: Projection,
    /// Filter and order as they were sent: what has to be the same on every page of a walk.
    pub question: String,
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
        let (by, order) = (text("sortBy")?, text("sortOrder")?);
        let (paging, count) = paging(text("startIndex")?, text("count")?, text("cursor")?)?;
        let parts = [&filter, &by, &order].map(|part| part.as_deref().unwrap_or_default());
        Ok(Self {
            question: parts.join("\n"),
            filter: filter.map(|filter| Filter::parse(&filter)).transpose()?,
            sort: SortBy::parse(by.as_deref(), order.as_deref())?,
            paging,
            count,
            projection: Projection::parse(
                text("attributes")?.as_deref(),
                text("excludedAttributes")?.as_deref(),
            )?,
        })
    }
}

const FIELDS: [&str; 8] =
    ["filter", "sortby", "sortorder", "startindex", "count", "cursor", "attributes", "excludedattributes"];

fn wrong(name: &str) -> ScimError {
    ScimError::of(Problem::QueryWrong, format!("{name} cannot have this value"))
}

fn integer(problem: Problem, name: &str, text: Option<String>) -> Result<Option<i64>, ScimError> {
    let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let read = |text: &str| text.parse().map_err(|_| ScimError::of(problem, format!("{name} is an integer")));
    text.map(read).transpose()
}

/// `startIndex` or `cursor`, and `count`. Errors: `invalidValue`, of a cursor's page `invalidCount`.
fn paging(
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
) -> Result<(Paging, u32), ScimError> {
    let start_index =
        integer(Problem::QueryWrong, "startIndex", start_index)?.map_or(1, |start| start.max(1));
    if cursor.is_some() && start_index > 1 {
        return Err(ScimError::of(Problem::QueryWrong, "cursor and startIndex exclude each other"));
    }
    let problem = if cursor.is_some() { Problem::CountWrong } else { Problem::QueryWrong };
    let count = integer(problem, "count", count)?.unwrap_or(i64::from(COUNT_DEFAULT));
    let count = u32::try_from(count.clamp(0, i64::from(COUNT_MAX))).unwrap_or(COUNT_MAX);
    Ok(match cursor {
        Some(cursor) => (Paging::Cursor(Some(cursor).filter(|cursor| !cursor.is_empty())), count),
        None => (Paging::Index(u64::try_from(start_index).unwrap_or(1)), count),
    })
}

/// What a ListResponse says beside its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// All matches, not only the page's.
    pub total: u64,
    /// Of a page by index.
    pub start_index: Option<u64>,
    /// Of a page by cursor that is not the last.
    pub next_cursor: Option<String>,
}

/// The ListResponse of a page (RFC 7644 3.4.2, RFC 9865 2).
pub fn list_response(told: &Told, resources: Vec<Value>) -> Value {
    let mut response = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": told.total,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    if let Some(fields) = response.as_object_mut() {
        fields.extend(told.start_index.map(|index| ("startIndex".to_owned(), Value::from(index))));
        let next = told.next_cursor.as_deref();
        fields.extend(next.map(|cursor| ("nextCursor".to_owned(), Value::from(cursor))));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Result<(Paging, u32), ScimError> {
        ListQuery::from_pairs(pairs.iter().copied()).map(|query| (query.paging, query.count))
    }

    #[test]
    fn numbers_out_of_range_are_bent_and_what_is_no_number_is_refused() {
        let page = |start, count| asked(&[("startIndex", start), ("count", count)]);
        assert_eq!(page("0", "-5"), Ok((Paging::Index(1), 0)));
        assert_eq!(page("-9", "200"), Ok((Paging::Index(1), 200)));
        assert_eq!(page("101", "201"), Ok((Paging::Index(101), COUNT_MAX)));
        assert_eq!(asked(&[]), Ok((Paging::Index(1), COUNT_DEFAULT)));
        for bad in ["x", "1.5", "99999999999999999999"] {
            assert_eq!(page(bad, "1").unwrap_err().code, "scim.query_wrong", "{bad}");
            assert!(page("1", bad).is_err());
        }
    }

    #[test]
    fn a_cursor_is_empty_on_the_first_page_and_stands_alone() {
        assert_eq!(asked(&[("cursor", "")]), Ok((Paging::Cursor(None), COUNT_DEFAULT)));
        let next = Paging::Cursor(Some("abc".to_owned()));
        assert_eq!(asked(&[("cursor", "abc"), ("count", "7"), ("startIndex", "1")]), Ok((next, 7)));
        let both = asked(&[("cursor", "abc"), ("startIndex", "2")]).unwrap_err();
        assert_eq!(both.code, "scim.query_wrong");
        let count = asked(&[("cursor", ""), ("count", "many")]).unwrap_err();
        assert_eq!(count.scim_type, Some("invalidCount"));
    }

    #[test]
    fn a_search_body_says_what_a_query_says() {
        let get = ListQuery::from_pairs([
            ("filter", "userName eq \"a\""),
            ("startIndex", "2"),
            ("count", "3"),
            ("attributes", "userName,emails"),
            ("SORTBY", "userName"),
            ("sortOrder", "descending"),
            ("aadOptscim062020", ""),
        ])
        .unwrap();
        let post = ListQuery::from_search(
            br#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "sortBy": "userName",
            "filter":"userName eq \"a\"","startIndex":2,"count":3,"attributes":["userName","emails"],
            "sortOrder": "descending"}"#,
        )
        .unwrap();
        assert_eq!(get, post);
        assert!(ListQuery::from_pairs([("filter", "a pr"), ("Filter", "b pr")]).is_err());
        assert!(ListQuery::from_search(br#"{"filter":{}}"#).is_err());
        assert!(ListQuery::from_search(br#"{"attributes":["a"],"excludedAttributes":["b"]}"#).is_err());
    }

    #[test]
    fn a_page_by_index_says_where_it_begins_and_one_by_cursor_where_the_next_does() {
        let told = Told { total: 3, start_index: Some(2), next_cursor: None };
        let page = list_response(&told, vec![json!({})]);
        assert_eq!((&page["startIndex"], &page["itemsPerPage"]), (&json!(2), &json!(1)));
        assert!(page.get("nextCursor").is_none());
        let page = list_response(&Told { next_cursor: Some("c".into()), ..Told::default() }, vec![]);
        assert_eq!((page.get("startIndex"), &page["nextCursor"]), (None, &json!("c")));
    }
}
