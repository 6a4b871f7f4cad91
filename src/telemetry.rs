//! Where the process writes what it does: one line an event on stderr, JSON for machines or text for
//! people, so that stdout stays a command's own answer. Decides which events by the settings'
//! level; holds no event back and adds none.

#[cfg(feature = "otlp")]
mod otlp;

use crate::settings::{Log, LogFormat, Settings};
use std::io::IsTerminal;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.level must be error, warn, info, debug, trace, or a list such as warn,vestibule=debug")]
    Level,
    #[error("events are collected already")]
    Twice,
    #[error("traces cannot be exported: {0}")]
    Export(String),
}

/// What runs until the process ends.
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    export: Option<otlp::Export>,
}

impl Telemetry {
    /// Sends the last spans, for a bounded time. Blocks; the runtime must still be there.
    pub fn stop(self) {
        #[cfg(feature = "otlp")]
        if let Some(export) = self.export {
            export.stop();
        }
    }
}

/// Starts collecting events, for the whole process. Call it inside the runtime that is to send traces.
///
/// # Errors
/// A level or a collector that cannot be read; a second call.
pub fn start(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines: Box<dyn Layer<Registry> + Send + Sync> =
        Box::new(layer(&settings.log, colour, std::io::stderr)?);
    #[cfg(feature = "otlp")]
    let (layers, started) = {
        let (spans, export) = otlp::layer(settings)?.unzip();
        (std::iter::once(lines).chain(spans).collect::<Vec<_>>(), Telemetry { export })
    };
    #[cfg(not(feature = "otlp"))]
    let (layers, started) = match &settings.telemetry.otlp_endpoint {
        None => (vec![lines], Telemetry {}),
        Some(_) => return Err(TelemetryError::Export("this build is without the feature `otlp`".to_owned())),
    };
    tracing_subscriber::registry().with(layers).try_init().map_err(|_| TelemetryError::Twice)?;
    Ok(started)
}

/// The lines of the log, as a layer.
///
/// # Errors
/// A level that cannot be read.
pub fn layer<W>(log: &Log, colour: bool, writer: W) -> Result<impl Layer<Registry>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(&log.level)?;
    let lines = fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(true).with_span_list(false))
        }
        LogFormat::Text => Box::new(lines.with_ansi(colour).with_target(false)),
    };
    Ok(lines.with_filter(filter))
}

/// Can this level be read? For `check-config`, which starts nothing.
///
/// # Errors
/// It cannot.
pub fn check(log: &Log) -> Result<(), TelemetryError> {
    filter(&log.level).map(|_| ())
}

/// A bare word that is no level would be taken for a module's name, and silence everything else.
fn filter(level: &str) -> Result<Targets, TelemetryError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let bare_is_level = |part: &str| part.contains('=') || LEVELS.contains(&part.trim());
    if !level.split(',').all(bare_is_level) {
        return Err(TelemetryError::Level);
    }
    level.parse().map_err(|_| TelemetryError::Level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: &str) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let log = Log { format, level: level.into() };
        let subscriber =
            tracing_subscriber::registry().with(layer(&log, false, move || sink.clone()).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::error_span!("call", org = "org_1").entered();
            tracing::info!(user = "usr_2", "signed in");
            tracing::debug!("detail");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_fields_and_its_org() {
        let json: serde_json::Value = serde_json::from_str(written(LogFormat::Json, "info").trim()).unwrap();
        assert_eq!(json["message"], "signed in");
        assert_eq!((json["user"].as_str(), json["span"]["org"].as_str()), (Some("usr_2"), Some("org_1")));
        let text = written(LogFormat::Text, "info");
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("org_1") && !text.contains('\u{1b}'), "{text}");
        assert_eq!(written(LogFormat::Text, "warn,vestibule=debug").lines().count(), 2);
        assert_eq!(written(LogFormat::Text, "warn"), "");
        assert!(written(LogFormat::Json, "warn,vestibule=info").contains("org_1"), "at every level");
    }

    #[test]
    fn a_level_that_means_nothing_is_refused() {
        for bad in ["inof", "", "info,loud", "vestibule=loud"] {
            let log = Log { format: LogFormat::Text, level: bad.into() };
            assert!(check(&log).is_err(), "{bad}");
        }
    }
}
