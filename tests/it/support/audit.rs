//! The log of what a test itself sets off: lines written on its own thread.
//!
//! Only for tests on a runtime of one thread that call services directly; requests are answered on other threads.

use std::{
    io::{Result, Write},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Listens until it is dropped.
pub(crate) struct Audit {
    written: Written,
    _guard: DefaultGuard,
}

impl Audit {
    /// Begins to listen.
    pub(crate) fn listen() -> Self {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(written.clone()).finish();
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The audit lines since the last call, in order; of each its `event`, and the line as it is.
    pub(crate) fn take(&self) -> Vec<(String, Value)> {
        let text = std::mem::take(&mut *self.written.0.lock().unwrap());
        let lines = String::from_utf8(text).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let audit = lines.filter(|line| line["target"] == "audit");
        audit.map(|line| (line["event"].as_str().unwrap().to_owned(), line)).collect()
    }

    /// The names of the events since the last call.
    pub(crate) fn names(&self) -> Vec<String> {
        self.take().into_iter().map(|(name, _)| name).collect()
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
