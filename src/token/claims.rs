//! Reading claims: every claim has one right JSON type, and a wrong one is a refusal, never
//! "absent". CVE-2026-25537 and the SDKs that read a malformed ceiling as "no ceiling" are why.

use model::Refusal;
use serde_json::{Map, Value};
use std::str::FromStr;

/// A verified token's claims, about to be read one by one.
pub(crate) struct Claims(pub(crate) Map<String, Value>);

/// The one refusal for a claim that is missing or malformed; the fact names the claim.
pub(crate) fn wrong(name: &'static str) -> Refusal {
    Refusal::proven("token.claim").with("claim", name)
}

impl Claims {
    pub(crate) fn text(&self, name: &'static str) -> Result<String, Refusal> {
        self.maybe_text(name)?.ok_or_else(|| wrong(name))
    }

    pub(crate) fn maybe_text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name)),
        }
    }

    pub(crate) fn id<T: FromStr>(&self, name: &'static str) -> Result<T, Refusal> {
        self.text(name)?.parse().map_err(|_| wrong(name))
    }

    /// A whole number from zero up: seconds, or a stamp. `300.0` and `"300"` are not.
    pub(crate) fn whole(&self, name: &'static str) -> Result<i64, Refusal> {
        let number = self.0.get(name).and_then(Value::as_i64).ok_or_else(|| wrong(name))?;
        if number < 0 { Err(wrong(name)) } else { Ok(number) }
    }

    pub(crate) fn texts<T: FromStr>(&self, name: &'static str) -> Result<Vec<T>, Refusal> {
        self.maybe_texts(name)?.ok_or_else(|| wrong(name))
    }

    pub(crate) fn maybe_texts<T: FromStr>(&self, name: &'static str) -> Result<Option<Vec<T>>, Refusal> {
        let items = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong(name)),
        };
        let texts = items.iter().map(|item| item.as_str().and_then(|text| text.parse().ok()));
        texts.collect::<Option<Vec<T>>>().map(Some).ok_or_else(|| wrong(name))
    }
}
