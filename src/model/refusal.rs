//! A named refusal: what a judge says when outside bytes are not accepted.
//! `code` is stable text (`saml.audience_mismatch`), listed in docs/REFUSALS.md;
//! `facts` are for the org's administrator and the audit, never for the stranger.

use std::fmt;

/// How far the caller had proven itself when it was refused. Strangers must not buy commits:
/// only `Proven` refusals are written as events, the others are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Before a valid signature or credential of the connection.
    Stranger,
    /// After it.
    Proven,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub code: &'static str,
    pub standing: Standing,
    /// Named values an administrator needs: (`expected`, …), (`received`, …). Bounded, no secrets.
    pub facts: Vec<(&'static str, String)>,
}

/// A fact's value is cut here: enough for any URL one would compare, too little to fill a log.
const FACT_CHARS_MAX: usize = 300;

impl Refusal {
    pub const fn stranger(code: &'static str) -> Self {
        Self { code, standing: Standing::Stranger, facts: Vec::new() }
    }
    pub const fn proven(code: &'static str) -> Self {
        Self { code, standing: Standing::Proven, facts: Vec::new() }
    }
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let text: String =
            value.to_string().chars().filter(|c| !c.is_control()).take(FACT_CHARS_MAX).collect();
        self.facts.push((name, text));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}
impl std::error::Error for Refusal {}
