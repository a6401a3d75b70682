//! Reads settings by key: finds the value or its default, parses it, remembers what to show and what is wrong.

use std::fmt;

use figment::value::Value;
use serde::Serialize;

use super::{
    fault::{Fault, Problem, Source},
    layers::{Entry, Merged},
    setting::{self, DefaultValue, SettingDoc},
    value::{self, Parsed},
};

/// What stands in the place of a secret.
const MASK: &str = "***";

/// One effective setting, as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownSetting {
    /// The key, `audience[orders].ttl` for settings in `[[audience]]` tables.
    pub key: String,
    /// The value as TOML would write it; `***` for secrets, nothing where it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub source: Source,
}

impl fmt::Display for ShownSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_deref().unwrap_or("(not set)");
        write!(formatter, "{} = {value}  # {}", self.key, self.source)
    }
}

/// Hands out typed values and collects every fault on the way.
pub(super) struct Reader {
    merged: Merged,
    shown: Vec<ShownSetting>,
}

impl Reader {
    pub(super) fn new(merged: Merged) -> Self {
        Self { merged, shown: Vec::new() }
    }

    /// The value of a setting that always has one. Nothing means that a fault was recorded.
    pub(super) fn read<T>(&mut self, key: &str, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<T> {
        let value = self.read_optional(key, parse)?;
        if value.is_none() {
            let allowed = setting::find(key).map_or("", |setting| setting.allowed).to_owned();
            let variable = setting::find(key).and_then(SettingDoc::variable);
            let allowed = variable
                .map_or_else(|| allowed.clone(), |variable| format!("{allowed}; set it in the file or as {variable}"));
            self.fault(key, Problem::Missing { allowed });
        }
        value
    }

    /// The value of a setting that may be unset. Nothing at the outside means that a fault was recorded.
    #[expect(clippy::option_option, reason = "outside: is it sound? inside: is it set?")]
    pub(super) fn read_optional<T>(&mut self, key: &str, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<Option<T>> {
        let setting = setting::find(key)?;
        if self.merged.broken.contains(key) {
            return None;
        }
        let entry = self.merged.entries.get(key).cloned().or_else(|| default(setting));
        let Some(Entry { value, source }) = entry else {
            if !matches!(setting.default, DefaultValue::Required) {
                self.shown.push(ShownSetting { key: key.to_owned(), value: None, source: Source::Default });
            }
            return Some(None);
        };
        match parse(&value) {
            Ok(parsed) => {
                let masked = setting.secret && source != Source::Default;
                let shown = if masked { MASK.to_owned() } else { value::render(&value) };
                self.shown.push(ShownSetting { key: key.to_owned(), value: Some(shown), source });
                Some(Some(parsed))
            }
            Err(refusal) => {
                let found = if setting.secret { String::from("a value (not shown)") } else { value::quote(&value) };
                let allowed = setting.allowed.to_owned();
                self.fault(key, Problem::Refused { found, allowed, hint: refusal.hint });
                None
            }
        }
    }

    /// Whether a setting that has been read is set nowhere and has no default.
    pub(super) fn is_unset(&self, key: &str) -> bool {
        self.shown.iter().any(|shown| shown.key == key && shown.value.is_none())
    }

    /// Shows what an unset setting comes to.
    pub(super) fn comes_to(&mut self, key: &str, value: &str) {
        for shown in self.shown.iter_mut().filter(|shown| shown.key == key && shown.value.is_none()) {
            shown.value = Some(value.to_owned());
        }
    }

    /// Records that a value doesn't go together with another.
    pub(super) fn combination(&mut self, key: &str, rule: impl Into<String>) {
        self.fault(key, Problem::Combination { rule: rule.into() });
    }

    /// Whether an `[[audience]]` has this name, or the tables are too broken to tell.
    pub(super) fn may_declare(&self, name: &str) -> bool {
        self.merged.broken.contains("audience") || self.merged.audiences.iter().any(|label| label == name)
    }

    /// The labels of the `[[audience]]` tables; nothing when they could not be told apart.
    pub(super) fn audience_labels(&mut self) -> Option<Vec<String>> {
        if self.merged.broken.contains("audience") {
            return None;
        }
        let labels = self.merged.audiences.clone();
        let source = self.merged.entries.get("audience").map_or(Source::Default, |entry| entry.source.clone());
        let value =
            Some(format!("[{}]", labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")));
        self.shown.push(ShownSetting { key: String::from("audience"), value, source });
        Some(labels)
    }

    /// What to show, and what is wrong.
    pub(super) fn finish(self) -> (Vec<ShownSetting>, Vec<Fault>) {
        (self.shown, self.merged.faults)
    }

    fn fault(&mut self, key: &str, problem: Problem) {
        // Without a whole layer, an absent value proves nothing; and what was never there cannot be combined wrongly.
        if self.merged.incomplete && matches!(problem, Problem::Missing { .. } | Problem::Combination { .. }) {
            return;
        }
        let source = self.merged.entries.get(key).map(|entry| entry.source.clone());
        let source_of_value = source.unwrap_or(Source::Default);
        self.merged.faults.push(Fault { key: key.to_owned(), problem, source_of_value });
    }
}

fn default(setting: &SettingDoc) -> Option<Entry> {
    match setting.default {
        DefaultValue::Written(text) => {
            Some(Entry { value: value::from_text(setting.shape, text), source: Source::Default })
        }
        DefaultValue::Required | DefaultValue::Unset(_) => None,
    }
}
