//! Whole configurations: what is loaded, what is refused, what is shown.

mod faults;
mod hooks;
mod rules;
mod sources;

use super::*;

/// 32 different bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// 32 other bytes.
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// 24 other bytes, as a webhook's secret is written.
const HOOK_SECRET: &str = "whsec_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX";

const NO_VARIABLES: [(&str, &str); 0] = [];

/// The variables without which nothing starts.
const REQUIRED: [(&str, &str); 3] = [
    ("EPHEMINT__PUBLIC__ORIGIN", "https://id.example.com"),
    ("EPHEMINT_DATABASE_URL", "postgres://app:hunter2@db/ephemint"),
    ("EPHEMINT__SECRETS__MASTER_KEY", KEY),
];

/// Loads the required settings and these on top.
fn load(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let others = REQUIRED.iter().filter(|(name, _)| variables.iter().all(|(variable, _)| variable != name));
    Config::load(None, others.chain(variables).copied())
}

/// What `load` says against these variables, without sources.
fn refused(variables: &[(&str, &str)]) -> ConfigError {
    load(variables).expect_err(&format!("{variables:?} should be refused"))
}

fn keys(error: &ConfigError) -> Vec<&str> {
    error.faults.iter().map(|fault| fault.key.as_str()).collect()
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> &'a ShownSetting {
    loaded.shown.iter().find(|shown| shown.key == key).expect("the setting is shown")
}
