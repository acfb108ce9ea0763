//! Sends spans to an OpenTelemetry collector over OTLP/HTTP, as the usual `OTEL_…` variables say; the libraries read
//! them. Nothing is sent unless one of them names a collector.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use tokio::runtime::Handle;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;

use super::{Listener, Parent, TARGET};
use crate::error::Error;
use crate::tls;

/// The name of this program in traces, unless `OTEL_SERVICE_NAME` says another.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// Longest wait for the last spans when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Sends spans until it is finished; nothing where nobody wants them.
pub struct Traces(Option<SdkTracerProvider>);

/// Begins to send spans, if somebody wants them; inside of a runtime, which carries the requests. `is_named`: a
/// variable names the service.
///
/// # Errors
///
/// `INVALID_INPUT` for variables that the libraries cannot use.
pub fn start(is_wanted: bool, is_named: bool) -> Result<(Option<Listener>, Traces), Error> {
    if !is_wanted {
        return Ok((None, Traces(None)));
    }
    tls::install();
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        Error::invalid("INVALID_INPUT", "traces cannot be sent as the `OTEL_…` variables say")
            .hint("see `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_PROTOCOL`, `…_HEADERS` and `…_TIMEOUT`")
            .source(error)
    })?;
    let resource = Resource::builder();
    let resource = if is_named { resource } else { resource.with_service_name(SERVICE) };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(OnRuntime { exporter: Arc::new(exporter), runtime: Handle::current() })
        .with_resource(resource.build())
        .build();
    let listener = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE));
    Ok((Some(Box::new(listener)), Traces(Some(provider))))
}

impl Traces {
    /// Sends what is left, as far as the collector takes it in time.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_WORDS)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!("the last spans could not be sent: {error}");
        }
    }
}

/// The exporter speaks by a client that needs a runtime, and is called on a thread without one.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sent = self.runtime.spawn(async move { exporter.export(batch).await });
        sent.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Nobody else has it yet: this is called while the provider is made.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Puts `span` below the one that its sender names; what is no trace context leaves it where it is.
pub(super) fn set_parent(span: &Span, parent: Parent<'_>) {
    if parent.traceparent.is_none() || span.is_disabled() {
        return;
    }
    let context = TraceContextPropagator::new().extract(&parent);
    if context.span().span_context().is_valid() {
        // Fails when nobody listens to the span.
        let _ = span.set_parent(context);
    }
}
