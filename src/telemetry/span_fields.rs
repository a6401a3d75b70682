//! How the fields of a span are kept for the lines that are written within it: as a JSON object, written at once.
//!
//! Every request has a span and hardly any writes a line, so making it must be cheap; the library's own formatter builds a tree
//! of values first.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

/// Room for the ids of a request.
const TYPICAL: usize = 160;

/// Writes fields as a JSON object. Spans here get all of their fields when they are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut object = Object(String::with_capacity(TYPICAL));
        fields.record(&mut object);
        if object.0.is_empty() {
            object.0.push('{');
        }
        object.0.push('}');
        writer.write_str(&object.0)
    }
}

/// A JSON object that is still open; empty as long as it has no member.
struct Object(String);

impl Object {
    /// Begins a member; what follows must be its value.
    fn member(&mut self, field: &Field) -> &mut String {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.text(field.name());
        self.0.push(':');
        &mut self.0
    }

    fn text(&mut self, text: &str) {
        let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        if text.bytes().all(plain) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            self.0.push_str(&serde_json::Value::from(text).to_string());
        }
    }

    fn displayed(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.member(field), "{value}");
    }
}

impl Visit for Object {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field);
        self.text(value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field);
        self.text(&format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.displayed(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.displayed(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.displayed(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        self.displayed(field, serde_json::Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_carries_the_fields_of_its_span_whatever_they_hold() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().json().with_span_list(false).fmt_fields(SpanFields);
        let subscriber = tracing_subscriber::registry().with(layer.with_writer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let odd = "a\"b\\c\nd\u{7f}é";
            tracing::info_span!("one", odd, n = 7, minus = -1, yes = true, half = 0.5, shown = %"x", debug = ?Some("y"))
                .in_scope(|| tracing::info!("told"));
            tracing::info_span!("none").in_scope(|| tracing::info!("told"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let spans: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["span"].clone()).collect();
        let odd = "a\"b\\c\nd\u{7f}é";
        let one = json!({ "name": "one", "odd": odd, "n": 7, "minus": -1, "yes": true, "half": 0.5, "shown": "x", "debug": "Some(\"y\")" });
        assert_eq!(spans, [one, json!({ "name": "none" })]);
    }
}
