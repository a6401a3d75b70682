//! `[log]`: what is logged, and in which form.

use super::{
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::choice,
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "log.format",
        Text,
        "auto, json or pretty",
        "The form of log lines; auto is pretty on a terminal and JSON elsewhere.",
    )
    .default("auto"),
    SettingDoc::new("log.level", Text, "error, warn, info, debug or trace", "The least severe level that is logged.")
        .default("info"),
];

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of log lines.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Pretty,
}

/// How severe an event must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Degraded.
    Warn,
    /// What the service does.
    Info,
    /// For diagnosis.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

pub(super) fn read(reader: &mut Reader) -> Option<LogConfig> {
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
    let format = reader.read("log.format", choice(&formats));
    let level = reader.read("log.level", choice(&LogLevel::ALL.map(|level| (level.as_str(), level))));
    Some(LogConfig { format: format?, level: level? })
}
