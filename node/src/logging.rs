//! Log lines: structured events of `tracing`, for people or as JSON, each naming its node.
//!
//! The lines of three nodes end up in one terminal or one log store, where a line that does not
//! say who speaks is of no use. The name is put in front by the formatter and not by a span,
//! because spans belong to a thread and a node has several.

use std::fmt;
use std::io;

use consensus::NodeId;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, LogFormat};

/// Sends this process' events to standard error, as `config` says. To be called once per process.
///
/// # Errors
/// When events go elsewhere already.
pub(crate) fn install(config: &Config) -> io::Result<()> {
    // `Config` has checked the filter.
    let filter = EnvFilter::try_new(&config.log_level).map_err(io::Error::other)?;
    let node = config.node;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let installed = match config.log_format {
        LogFormat::Text => builder
            .with_ansi(false)
            .event_format(NamedText {
                node,
                inner: Format::default(),
            })
            .try_init(),
        LogFormat::Json => builder
            .fmt_fields(JsonFields::new())
            .event_format(NamedJson {
                node,
                inner: Format::default().json().flatten_event(true),
            })
            .try_init(),
    };
    installed.map_err(io::Error::other)
}

/// `n1 2026-01-01T00:00:00.000000Z  INFO …`
struct NamedText {
    node: NodeId,
    inner: Format,
}

impl<S, N> FormatEvent<S, N> for NamedText
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", self.node)?;
        self.inner.format_event(context, writer, event)
    }
}

/// `{"node":1,"timestamp":…}`
struct NamedJson {
    node: NodeId,
    inner: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for NamedJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        // The inner format writes one object per event.
        let fields = line.strip_prefix('{').unwrap_or(&line);
        write!(writer, "{{\"node\":{},{fields}", self.node.0)
    }
}

#[cfg(test)]
mod tests;
