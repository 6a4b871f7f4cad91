//! Where traces go: an OpenTelemetry collector of the operator's own, or nowhere.

use super::{SettingsError, hidden, secret, wrong};
use model::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Absent: nothing is exported. `/v1/traces` is added to it.
    pub otlp_endpoint: Option<String>,
    /// `name=value`, several with commas between: what the collector asks for.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub otlp_headers: Option<Secret<String>>,
    pub service_name: String,
    pub sampled_percent: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: None,
            service_name: "vestibule".into(),
            sampled_percent: 100,
        }
    }
}

impl Telemetry {
    /// The headers that go along with every export.
    ///
    /// # Errors
    /// A part without `=`; the text is not shown.
    pub fn headers(&self) -> Result<Vec<(String, Secret<String>)>, SettingsError> {
        let Some(text) = &self.otlp_headers else { return Ok(Vec::new()) };
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_owned(), Secret::new(value.trim().to_owned())))
        };
        let read = text.reveal().split(',').map(pair).collect::<Option<Vec<_>>>();
        read.ok_or_else(|| wrong("telemetry.otlp_headers", "name=value, several with commas between"))
    }

    /// Would a start take it?
    pub(super) fn agree(&self) -> Result<(), SettingsError> {
        self.headers()?;
        let Some(text) = &self.otlp_endpoint else { return Ok(()) };
        let good = Url::parse(text).is_ok_and(|url| {
            let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
            matches!(url.scheme(), "http" | "https") && bare && url.fragment().is_none()
        });
        let right =
            "an http or https URL without user or query; a credential goes into telemetry.otlp_headers";
        if good { Ok(()) } else { Err(wrong("telemetry.otlp_endpoint", right)) }
    }
}
