//! Expectations, one a line: a place in the answer, a word, and (for most words) a JSON value.
//! `emails count 2` · `name.familyName is "Lovelace"` · `members[*].value lacks "…"` ·
//! `@header.Location present` · `@body empty`. The README lists the words.

use crate::{
    look::{self, Path},
    wire::Answer,
};
use serde_json::Value;

/// Longest value shown as what was found.
const FOUND_CHARS_MAX: usize = 400;

/// An expectation that was not met, in the reader's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    pub expected: String,
    pub found: String,
}

/// Holds one line against an answer. The outer error is a mistake in the line itself.
pub fn check(line: &str, answer: &Answer) -> Result<Result<(), Missed>, String> {
    let met = if let Some(special) = line.strip_prefix('@') {
        special_place(special, answer)?
    } else {
        place(line, answer)?
    };
    Ok(met.map_err(|found| Missed { expected: line.to_owned(), found: shorten(&found) }))
}

/// `@header.Name …` and `@body empty|json`.
fn special_place(line: &str, answer: &Answer) -> Result<Result<(), String>, String> {
    if let Some(header) = line.strip_prefix("header.") {
        let (name, rest) = header.split_once(' ').ok_or("no word after the header")?;
        let value = answer.header(name).map(Value::from);
        let found: Vec<&Value> = value.iter().collect();
        return judge(rest.trim(), &found, false);
    }
    match line {
        "body empty" => Ok(if answer.text.is_empty() { Ok(()) } else { Err(answer.text.clone()) }),
        "body json" => Ok(if answer.json.is_some() { Ok(()) } else { Err(answer.text.clone()) }),
        text if text.starts_with("body lacks ") => {
            let needle: Value = json(text.trim_start_matches("body lacks "))?;
            Ok(if answer.text.contains(&look::plain(&needle)) { Err(answer.text.clone()) } else { Ok(()) })
        }
        _ => Err(format!("no such place: @{line}")),
    }
}

fn place(line: &str, answer: &Answer) -> Result<Result<(), String>, String> {
    let (path, rest) = Path::parse(line)?;
    judge(rest.trim(), &path.find(answer.body()), path.is_many())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|why| format!("{text}: {why}"))
}

/// `Err` holds what was found instead.
fn judge(rest: &str, found: &[&Value], many: bool) -> Result<Result<(), String>, String> {
    let (word, operand) = rest.split_once(' ').map_or((rest, ""), |(word, operand)| (word, operand.trim()));
    let one = if let [one] = found { Some(*one) } else { None };
    let elements: Vec<&Value> = match one.and_then(Value::as_array) {
        Some(list) if !many => list.iter().collect(),
        _ => found.to_vec(),
    };
    let met = match word {
        "present" => !look::is_unassigned(found),
        "absent" => look::is_unassigned(found),
        "is" => one == Some(&json(operand)?),
        "isnt" => one != Some(&json(operand)?),
        "in" => {
            let allowed = json(operand)?;
            one.is_some_and(|value| allowed.as_array().is_some_and(|list| list.contains(value)))
        }
        "covers" => {
            let part = json(operand)?;
            one.is_some_and(|whole| look::covers(whole, &part))
        }
        "has" | "lacks" => {
            let part = json(operand)?;
            let has = match (one.and_then(Value::as_str), part.as_str()) {
                (Some(text), Some(part)) if !many => text.contains(part),
                _ => elements.iter().any(|value| look::covers(value, &part)),
            };
            has == (word == "has")
        }
        "count" | "atleast" | "atmost" => {
            let wanted: usize = operand.parse().map_err(|_| format!("{operand} is no number"))?;
            let count = elements.len();
            match word {
                "count" => count == wanted,
                "atleast" => count >= wanted,
                _ => count <= wanted,
            }
        }
        "type" => one.is_some_and(|value| kind(value) == operand),
        "starts" | "ends" | "like" => {
            let part = look::plain(&json(operand)?);
            one.and_then(Value::as_str).is_some_and(|text| match word {
                "starts" => text.starts_with(&part),
                "ends" => text.ends_with(&part),
                _ => text.eq_ignore_ascii_case(&part),
            })
        }
        "datetime" => one.and_then(Value::as_str).is_some_and(is_datetime),
        _ => return Err(format!("no such word: {word}")),
    };
    Ok(if met { Ok(()) } else { Err(shown(found)) })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "decimal",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shown(found: &[&Value]) -> String {
    match found {
        [] => "nothing".into(),
        [one] => one.to_string(),
        many => Value::from(many.iter().map(|one| (*one).clone()).collect::<Vec<_>>()).to_string(),
    }
}

pub fn shorten(text: &str) -> String {
    if text.chars().count() <= FOUND_CHARS_MAX {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(FOUND_CHARS_MAX).collect::<String>())
}

/// An xsd:dateTime with both date and time (RFC 7643 2.3.5); the offset may be left out.
pub fn is_datetime(text: &str) -> bool {
    let shape = |part: &str, wanted: &str| {
        part.len() == wanted.len()
            && part
                .chars()
                .zip(wanted.chars())
                .all(|(is, want)| if want == '0' { is.is_ascii_digit() } else { is == want })
    };
    let Some((date, time)) = text.split_once('T') else { return false };
    let clock_end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, offset) = time.split_at(clock_end);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    shape(date, "0000-00-00")
        && shape(whole, "00:00:00")
        && !fraction.is_empty()
        && fraction.chars().all(|c| c.is_ascii_digit())
        && (offset.is_empty() || offset == "Z" || shape(offset, "+00:00") || shape(offset, "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn answer(body: &Value) -> Answer {
        let headers = vec![("location".into(), "https://x/Users/1".into())];
        Answer {
            status: 200,
            headers,
            text: body.to_string(),
            json: Some(body.clone()),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn every_word_tells_right_from_wrong() {
        let body = json!({"userName": "ada", "active": true, "total": 2, "nickName": null, "roles": [],
            "emails": [{"type": "work", "value": "w"}, {"type": "home", "value": "h"}],
            "meta": {"created": "2026-01-02T03:04:05Z"}});
        for (line, met) in [
            ("userName is \"ada\"", true),
            ("userName is \"bob\"", false),
            ("userName isnt \"bob\"", true),
            ("userName isnt \"ada\"", false),
            ("userName like \"ADA\"", true),
            ("userName like \"bob\"", false),
            ("active type boolean", true),
            ("active type string", false),
            ("total type integer", true),
            ("nickName absent", true),
            ("roles absent", true),
            ("userName absent", false),
            ("userName present", true),
            ("roles present", false),
            ("emails count 2", true),
            ("emails count 1", false),
            ("emails atleast 3", false),
            ("emails atmost 2", true),
            ("emails[type=work] count 1", true),
            ("emails[type=other] count 0", true),
            ("emails has {\"value\": \"h\"}", true),
            ("emails lacks {\"value\": \"h\"}", false),
            ("emails[*].value has \"w\"", true),
            ("emails[*].value lacks \"w\"", false),
            ("userName has \"da\"", true),
            ("userName in [\"ada\", \"bob\"]", true),
            ("userName in [\"bob\"]", false),
            ("meta covers {\"created\": \"2026-01-02T03:04:05Z\"}", true),
            ("meta.created datetime", true),
            ("userName datetime", false),
            ("@header.Location starts \"https:\"", true),
            ("@header.Location ends \"2\"", false),
            ("@header.ETag present", false),
            ("@body lacks \"secret\"", true),
            ("@body lacks \"ada\"", false),
            ("@body empty", false),
            ("@body json", true),
        ] {
            assert_eq!(check(line, &answer(&body)).unwrap().is_ok(), met, "{line}");
        }
    }

    #[test]
    fn a_mistaken_line_is_no_verdict() {
        for line in ["userName", "userName iz 1", "userName is ada", "emails count x", "@nowhere present"] {
            assert!(check(line, &answer(&json!({}))).is_err(), "{line}");
        }
    }

    #[test]
    fn datetimes_have_date_and_time() {
        for good in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+02:00", "2026-01-02T03:04:05"] {
            assert!(is_datetime(good), "{good}");
        }
        for bad in
            ["2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04Z", "1700000000", "2026-01-02T03:04:05.Z"]
        {
            assert!(!is_datetime(bad), "{bad}");
        }
    }
}
