//! What a line looks like.

use std::io::Write;
use std::sync::{Arc, Mutex};

use consensus::NodeId;
use tracing_subscriber::fmt::format::{Format, JsonFields};

use super::{NamedJson, NamedText};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn text_lines_begin_with_their_node() {
    let lines = Lines::default();
    let writer = lines.clone();
    let format = NamedText {
        node: NodeId(3),
        inner: Format::default(),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .event_format(format)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(peer = 2, "lost");
        tracing::info!("found");
    });
    let text = lines.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.starts_with("n3 ")), "{text}");
    // What the supervisor of `lockstep local` looks for.
    assert!(
        lines[0].contains(" WARN ") && lines[0].ends_with("lost peer=2"),
        "{text}"
    );
}

#[test]
fn json_lines_carry_their_node() {
    let lines = Lines::default();
    let writer = lines.clone();
    let inner = Format::default().json().flatten_event(true);
    let subscriber = tracing_subscriber::fmt()
        .fmt_fields(JsonFields::new())
        .event_format(NamedJson {
            node: NodeId(3),
            inner,
        })
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::error!(peer = 2, "lost \"it\"");
        tracing::info!("found");
    });
    let text = lines.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["node"] == 3), "{text}");
    assert_eq!(lines[0]["message"], "lost \"it\"");
    assert_eq!(lines[0]["peer"], 2);
    // What the supervisor of `lockstep local` looks for.
    assert!(
        text.lines().next().unwrap().contains("\"level\":\"ERROR\""),
        "{text}"
    );
}
