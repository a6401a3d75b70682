//! The table of settings: what can be set, to what, and what holds when it is not. Reading values lives in `reader`.

use std::{fmt, sync::LazyLock};

use super::{
    admin, audiences, database, exchange, gateway, hooks, http, keys, log, login, pages, password, public, revocations,
    secrets, session, shutdown, token,
};

/// One row of the table: everything that the program and its documentation know about a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingDoc {
    /// Section and name, joined by a dot; settings of `[[audience]]` tables start with `audience.`.
    pub key: &'static str,
    /// How the value is written.
    pub shape: Shape,
    /// What holds when it is not set.
    pub default: DefaultValue,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// What it is for, in one line.
    pub description: &'static str,
    /// Whether the value is never shown, and may come from a file named by a `__FILE` variable.
    pub secret: bool,
}

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A quoted string; in the environment, the variable's text as it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list of strings.
    List,
    /// An array of tables.
    Tables,
}

/// What holds when a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// Nothing: the start is refused.
    Required,
    /// The value that this text stands for, as it would be written in a variable.
    Written(&'static str),
    /// No value of its own; these words say what happens instead.
    Unset(&'static str),
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Required => "required",
            Self::Written(text) | Self::Unset(text) => text,
        })
    }
}

impl SettingDoc {
    /// A required row; the methods below make it optional or secret.
    pub(super) const fn new(
        key: &'static str,
        shape: Shape,
        allowed: &'static str,
        description: &'static str,
    ) -> SettingDoc {
        Self { key, shape, default: DefaultValue::Required, allowed, description, secret: false }
    }

    pub(super) const fn default(mut self, written: &'static str) -> Self {
        self.default = DefaultValue::Written(written);
        self
    }

    pub(super) const fn unset(mut self, instead: &'static str) -> Self {
        self.default = DefaultValue::Unset(instead);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The environment variable that sets it; absent for settings inside `[[audience]]` tables, which are set as a whole.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let inside_a_table = self.key.starts_with("audience.");
        (!inside_a_table).then(|| format!("EPHEMINT__{}", self.key.to_ascii_uppercase().replace('.', "__")))
    }

    /// The part of the key before the dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(section, _)| section)
    }
}

/// Every setting, section by section, in the order in which they are shown and documented.
#[must_use]
pub fn settings() -> &'static [SettingDoc] {
    static TABLE: LazyLock<Vec<SettingDoc>> = LazyLock::new(|| {
        [
            public::SETTINGS,
            gateway::SETTINGS,
            admin::SETTINGS,
            http::SETTINGS,
            shutdown::SETTINGS,
            database::SETTINGS,
            secrets::SETTINGS,
            session::SETTINGS,
            pages::SETTINGS,
            password::SETTINGS,
            login::SETTINGS,
            token::SETTINGS,
            exchange::SETTINGS,
            revocations::SETTINGS,
            keys::SETTINGS,
            hooks::SETTINGS,
            log::SETTINGS,
            audiences::SETTINGS,
        ]
        .concat()
    });
    &TABLE
}

/// The row of a key; `audience[orders].ttl` finds the row `audience.ttl`.
pub(super) fn find(key: &str) -> Option<&'static SettingDoc> {
    let row = |wanted: &str| settings().iter().find(|setting| setting.key == wanted);
    match key.strip_prefix("audience[").and_then(|rest| rest.split_once("].")) {
        Some((_, name)) => row(&format!("audience.{name}")),
        None => row(key),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_unique_lower_case_and_documented() {
        let keys: BTreeSet<_> = settings().iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), settings().len());
        for setting in settings() {
            assert!(setting.key.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)));
            assert!(!setting.allowed.is_empty() && !setting.description.is_empty(), "{}", setting.key);
        }
    }

    #[test]
    fn a_setting_names_its_variable() {
        let variable = |key| find(key).and_then(SettingDoc::variable);
        assert_eq!(variable("secrets.master_key").as_deref(), Some("EPHEMINT__SECRETS__MASTER_KEY"));
        assert_eq!(variable("audience").as_deref(), Some("EPHEMINT__AUDIENCE"));
        assert_eq!(variable("audience[orders].ttl"), None);
    }
}
