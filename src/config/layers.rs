//! The two layers above the defaults, a TOML file and the environment, merged into one value per setting.
//!
//! Only shapes and keys are judged here; what a value may be is the reader's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Toml},
    value::{Dict, Map, Value},
};

use super::{
    fault::{Fault, Problem, Source},
    file,
    setting::{self, settings},
    suggest,
    value::{from_text, quote},
    variable,
};
use crate::domain::audience::AudienceName;

/// One written value and where it was written.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) source: Source,
}

/// What the layers say, and what is wrong with how they say it.
pub(super) struct Layers {
    figment: Figment,
    faults: Vec<Fault>,
    broken: BTreeSet<String>,
    /// Whether a whole layer is missing, so that absent settings prove nothing.
    incomplete: bool,
}

/// The layers, merged and taken apart.
pub(super) struct Merged {
    /// By key, `audience[orders].ttl` for settings in `[[audience]]` tables.
    pub(super) entries: BTreeMap<String, Entry>,
    /// The labels of the `[[audience]]` tables, in order.
    pub(super) audiences: Vec<String>,
    pub(super) faults: Vec<Fault>,
    /// Keys that already have a fault of their own.
    pub(super) broken: BTreeSet<String>,
    pub(super) incomplete: bool,
}

impl Layers {
    pub(super) fn new() -> Self {
        Self { figment: Figment::new(), faults: Vec::new(), broken: BTreeSet::new(), incomplete: false }
    }

    /// Adds the file at `path`.
    pub(super) fn file(&mut self, path: &Path) {
        let source = Source::File(path.to_owned());
        match file::read(path) {
            Ok(text) => self.toml(&text, &source),
            Err(error) => {
                self.incomplete = true;
                self.fault("configuration file", Problem::unreadable(path.to_owned(), &error), source);
            }
        }
    }

    /// Adds a TOML text.
    pub(super) fn toml(&mut self, text: &str, source: &Source) {
        // figment's own wording quotes the offending line, which may hold a secret; so the parser is asked directly.
        match Toml::from_str::<Dict>(text) {
            Ok(dict) => {
                let dict = self.known_only(dict, source);
                self.merge(dict, source);
            }
            Err(error) => {
                self.incomplete = true;
                let (line, column) = file::position(text, error.span().map_or(0, |span| span.start));
                let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
                self.fault("configuration file", Problem::Syntax { line, column, reason }, source.clone());
            }
        }
    }

    /// Adds the variables that are ours; all others are left alone.
    pub(super) fn environment<K: Into<OsString>, V: Into<OsString>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) {
        // Sorted, so that faults come in the same order each time.
        let ours = pairs.into_iter().filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())));
        let ours: BTreeMap<String, OsString> = ours.filter(|(name, _)| variable::key(name).is_some()).collect();
        let mut given_by: BTreeMap<&'static str, String> = BTreeMap::new();
        for (name, value) in ours {
            let Some((key, from_file)) = variable::key(&name) else { continue };
            let source = Source::Variable(name.clone());
            let Some(setting) = setting::find(&key).filter(|setting| setting.variable().is_some()) else {
                let hint = if key.starts_with("audience.") || key.starts_with("audience[") {
                    String::from("audiences are set as a whole, as EPHEMINT__AUDIENCE='[{name=\"orders\"}]'")
                } else {
                    suggest::hint(&key)
                };
                self.fault(&key, Problem::Unknown { hint }, source);
                continue;
            };
            if let Some(other) = given_by.insert(setting.key, name) {
                self.broken(setting.key, Problem::GivenTwice { other }, source);
                continue;
            }
            match variable::text(setting, &value, from_file) {
                Ok(text) => {
                    let value = from_text(setting.shape, &text);
                    let nested = figment::util::nest(setting.key, value).into_dict().unwrap_or_default();
                    self.merge(nested, &source);
                }
                Err(problem) => self.broken(setting.key, problem, source),
            }
        }
    }

    /// Takes the merged layers apart, one entry a setting.
    pub(super) fn finish(mut self) -> Merged {
        let mut entries = BTreeMap::new();
        for setting in settings().iter().filter(|setting| !setting.key.starts_with("audience")) {
            if let Ok(value) = self.figment.find_value(setting.key) {
                let source = self.source_of(&value);
                entries.insert(setting.key.to_owned(), Entry { value, source });
            }
        }
        let mut audiences = Vec::new();
        if let Ok(value) = self.figment.find_value("audience") {
            audiences = self.audience_tables(value, &mut entries);
        }
        let Self { faults, broken, incomplete, .. } = self;
        Merged { entries, audiences, faults, broken, incomplete }
    }

    fn audience_tables(&mut self, value: Value, entries: &mut BTreeMap<String, Entry>) -> Vec<String> {
        let source = self.source_of(&value);
        let tables = value.as_array().map(|tables| tables.iter().map(|table| table.as_dict().cloned()).collect());
        let tables: Option<Vec<Dict>> = tables.unwrap_or_default();
        let Some(tables) = tables else {
            let found = quote(&value);
            let allowed = String::from("[[audience]] tables, in a variable a list such as [{name=\"orders\"}]");
            self.broken("audience", Problem::Refused { found, allowed, hint: None }, source);
            return Vec::new();
        };
        entries.insert(String::from("audience"), Entry { value, source: source.clone() });
        let mut labels = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let name = table.get("name").and_then(Value::as_str).filter(|name| AudienceName::parse(*name).is_ok());
            let mut label = name.map_or_else(|| format!("#{}", index + 1), ToOwned::to_owned);
            if labels.contains(&label) {
                label = format!("#{}", index + 1);
            }
            for (name, value) in table {
                let key = format!("audience[{label}].{name}");
                if setting::find(&key).is_some() {
                    entries.insert(key, Entry { value, source: source.clone() });
                } else {
                    let hint = suggest::hint(&key);
                    self.fault(&key, Problem::Unknown { hint }, source.clone());
                }
            }
            labels.push(label);
        }
        labels
    }

    /// The table without what no setting is called; each such thing is a fault.
    fn known_only(&mut self, dict: Dict, source: &Source) -> Dict {
        let mut known = Dict::new();
        for (section, value) in dict {
            let is_section = section != "audience" && settings().iter().any(|setting| setting.section() == section);
            if section == "audience" {
                known.insert(section, value);
                continue;
            }
            match (is_section, value) {
                (_, Value::Dict(tag, table)) if is_section || !table.is_empty() => {
                    let (ours, unknown): (Dict, Dict) =
                        table.into_iter().partition(|(name, _)| setting::find(&format!("{section}.{name}")).is_some());
                    for name in unknown.keys() {
                        let key = format!("{section}.{name}");
                        self.fault(&key, Problem::Unknown { hint: suggest::hint(&key) }, source.clone());
                    }
                    known.insert(section, Value::Dict(tag, ours));
                }
                (true, value) => {
                    // The value is not quoted: it may be a secret that lost its name.
                    let found = String::from(if value.as_array().is_some() { "a list" } else { "a single value" });
                    let allowed = format!("a table of settings, [{section}]");
                    for setting in settings().iter().filter(|setting| setting.section() == section) {
                        self.broken.insert(setting.key.to_owned());
                    }
                    self.fault(&section, Problem::Refused { found, allowed, hint: None }, source.clone());
                }
                (false, _) => {
                    let hint = suggest::hint(&section);
                    self.fault(&section, Problem::Unknown { hint }, source.clone());
                }
            }
        }
        known
    }

    fn merge(&mut self, dict: Dict, source: &Source) {
        let figment = std::mem::take(&mut self.figment);
        self.figment = figment.merge(Layer { dict, source: source.clone() });
    }

    fn source_of(&self, value: &Value) -> Source {
        match self.figment.get_metadata(value.tag()).and_then(|metadata| metadata.source.as_ref()) {
            Some(figment::Source::File(path)) => Source::File(path.clone()),
            Some(figment::Source::Custom(variable)) => Source::Variable(variable.clone()),
            _ => Source::Text,
        }
    }

    fn fault(&mut self, key: &str, problem: Problem, source_of_value: Source) {
        self.faults.push(Fault { key: key.to_owned(), problem, source_of_value });
    }

    fn broken(&mut self, key: &str, problem: Problem, source: Source) {
        self.broken.insert(key.to_owned());
        self.fault(key, problem, source);
    }
}

/// One layer for figment, which remembers for each value which layer it is from.
struct Layer {
    dict: Dict,
    source: Source,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let metadata = Metadata::named(self.source.to_string());
        match &self.source {
            Source::File(path) => metadata.source(figment::Source::File(path.clone())),
            Source::Variable(name) => metadata.source(figment::Source::Custom(name.clone())),
            Source::Text | Source::Default => metadata,
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}
