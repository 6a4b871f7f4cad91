//! Traces to an OpenTelemetry collector, by OTLP over HTTP: the request spans and what the log says
//! within them, in batches, by a thread of its own. A collector that is away costs spans, never a request.

use super::{TelemetryError, filter};
use crate::{outbound::Collector, settings::Settings};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use std::time::Duration;
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, filter_fn},
};

/// A process that ends waits at most this long for its last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Only our own crates: a span of the exporter's would make the next one.
const OWN: &str = "vestibule";

/// The running export.
pub(super) struct Export(SdkTracerProvider);

pub(super) type Layered = Box<dyn Layer<Registry> + Send + Sync>;

/// The layer that takes spans, and the export to be stopped; none without an endpoint. Call it inside
/// the runtime that shall send.
///
/// # Errors
/// Headers that cannot be read; a level that cannot be.
pub(super) fn layer(settings: &Settings) -> Result<Option<(Layered, Export)>, TelemetryError> {
    let (telemetry, wrong) = (&settings.telemetry, TelemetryError::Export);
    let Some(endpoint) = &telemetry.otlp_endpoint else { return Ok(None) };
    let headers = telemetry.headers().map_err(|error| wrong(error.to_string()))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(&headers).map_err(wrong)?)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_protocol(Protocol::HttpBinary)
        .build()
        .map_err(|error| TelemetryError::Export(error.to_string()))?;
    let resource = Resource::builder_empty()
        .with_service_name(telemetry.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let share = f64::from(telemetry.sampled_percent) / 100.0;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_batch_exporter(exporter)
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(OWN))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let own = filter_fn(|metadata| metadata.target().starts_with(OWN));
    let layer: Layered = Box::new(spans.with_filter(own.and(filter(&settings.log.level)?)));
    Ok(Some((layer, Export(provider))))
}

impl Export {
    /// Sends what is left, for a bounded time.
    pub(super) fn stop(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}
