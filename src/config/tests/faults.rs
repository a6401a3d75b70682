//! How faults read, that all of them are reported, and that no secret is among the words.

use proptest::prelude::*;

use super::*;

#[test]
fn all_faults_are_reported_together_one_a_line() {
    let toml = "
        [sesion]
        idle_timeout = \"5m\"
        [session]
        idle_timeout = 30
        absolute_timeout = \"500d\"
        [admin]
        listen = \"0.0.0.0:9090\"
        [exchange]
        default_audience = \"orders\"
        timeout = \"1h\"
        [[audience]]
        name = \"billing\"
        algorithm = \"EdDSA\"
        enabled = 1
    ";
    let error = Config::from_toml(toml).unwrap_err();
    let expected = [
        "sesion.idle_timeout",
        "public.origin",
        "admin.listen",
        "database.url",
        "secrets.master_key",
        "session.idle_timeout",
        "session.absolute_timeout",
        "exchange.default_audience",
        "exchange.timeout",
        "audience[billing].enabled",
        "audience[billing].algorithm",
    ];
    assert_eq!(keys(&error), expected);
    assert_eq!(error.to_string().lines().count(), expected.len());
}

#[test]
fn a_fault_names_key_value_rule_and_source() {
    for (name, value, expected) in [
        (
            "EPHEMINT__HTTP__KEEP_ALIVE",
            "2h",
            "http.keep_alive: found \"2h\"; allowed is 1s to 1h (variable EPHEMINT__HTTP__KEEP_ALIVE)",
        ),
        (
            "EPHEMINT__HTTP__KEEP_ALIVE",
            "30",
            "http.keep_alive: found \"30\"; allowed is 1s to 1h; add a unit, such as \"30s\", \"12h\" or \"30d\" \
             (variable EPHEMINT__HTTP__KEEP_ALIVE)",
        ),
        (
            "EPHEMINT__TOKEN__ALGORITHM",
            "RS256",
            "token.algorithm: found \"RS256\"; allowed is ES256 or EdDSA; set RS256 on an audience instead: it gets an \
             issuer of its own (variable EPHEMINT__TOKEN__ALGORITHM)",
        ),
        (
            "EPHEMINT__SESSION__IDLE_TIMEOT",
            "30m",
            "session.idle_timeot: unknown setting; did you mean session.idle_timeout? \
             (variable EPHEMINT__SESSION__IDLE_TIMEOT)",
        ),
        (
            "EPHEMINT__ADMIN__LISTEN",
            "0.0.0.0:9090",
            "admin.listen: unsafe combination: 0.0.0.0:9090 is off loopback and has no TLS; listen on 127.0.0.1 or [::1], \
             or set admin.allow_plaintext = true (variable EPHEMINT__ADMIN__LISTEN)",
        ),
        (
            "EPHEMINT__SECRETS__MASTER_KEY",
            "hunter2",
            "secrets.master_key: found a value (not shown); allowed is exactly 32 random bytes in base64; make one with: \
             openssl rand -base64 32; it is not base64 (variable EPHEMINT__SECRETS__MASTER_KEY)",
        ),
        (
            "EPHEMINT__AUDIENCE__NAME",
            "orders",
            "audience.name: unknown setting; audiences are set as a whole, as EPHEMINT__AUDIENCE='[{name=\"orders\"}]' \
             (variable EPHEMINT__AUDIENCE__NAME)",
        ),
    ] {
        assert_eq!(refused(&[(name, value)]).to_string(), expected);
    }
}

#[test]
fn a_missing_setting_says_how_to_set_it() {
    let error = Config::load(None, [REQUIRED[0], REQUIRED[2]]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("database.url: required, but not set; allowed is a URL postgres://"), "{text}");
    assert!(text.ends_with("set it in the file or as EPHEMINT__DATABASE__URL"), "{text}");
}

#[test]
fn a_section_of_the_wrong_shape_is_one_fault() {
    for (toml, key) in [
        ("session = 5", "session"),
        ("session = [1]", "session"),
        ("audiences = 1", "audiences"),
        ("[nonsense]", "nonsense"),
        ("[audience]\nname = \"a\"", "audience"),
        ("[log.level]\nx = 1", "log.level"),
        ("log.level = 2026-01-01", "log.level"),
    ] {
        let error = Config::from_toml(&format!("{}{toml}", required_toml())).unwrap_err();
        assert_eq!(keys(&error), [key], "{error}");
    }
}

#[test]
fn a_previous_master_key_is_not_the_current_one() {
    fn previous(keys: &str) -> (&str, &str) {
        ("EPHEMINT__SECRETS__PREVIOUS_MASTER_KEYS", keys)
    }
    let both = format!("[\"{OTHER_KEY}\", \"{KEY}\"]");
    assert_eq!(keys(&refused(&[previous(&both)])), ["secrets.previous_master_keys"]);
    assert_eq!(keys(&refused(&[previous(OTHER_KEY)])), ["secrets.previous_master_keys"]);
    assert!(load(&[previous(&format!("[\"{OTHER_KEY}\"]"))]).is_ok());
}

#[test]
fn no_secret_is_in_what_is_shown_or_printed() {
    let previous = format!("[\"{OTHER_KEY}\"]");
    let loaded = load(&[
        ("EPHEMINT__DATABASE__MIGRATION_URL", "postgres://owner:hunter2@db/ephemint"),
        ("EPHEMINT__SECRETS__PREVIOUS_MASTER_KEYS", &previous),
        ("EPHEMINT__HOOKS__URL", "https://hooks.example.com"),
        ("EPHEMINT__HOOKS__SECRET", HOOK_SECRET),
    ])
    .unwrap();
    let printed = loaded.shown.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let everything = format!("{loaded:?}\n{printed}\n{}", serde_json::to_string(&loaded.shown).unwrap());
    for secret in ["hunter2", KEY, OTHER_KEY, "0, 1, 2, 3", &HOOK_SECRET[6..], "64, 65, 66"] {
        assert!(!everything.contains(secret), "{secret}");
    }
    for secret in settings().iter().filter(|setting| setting.secret) {
        assert_eq!(shown(&loaded, secret.key).value.as_deref(), Some("***"), "{}", secret.key);
    }
}

#[test]
fn no_secret_is_in_a_fault() {
    let secret = "canary-9b1f";
    for (key, value) in [
        ("secrets.master_key", format!("\"{secret}\"")),
        ("secrets.master_key", format!("[\"{secret}\"]")),
        ("secrets.previous_master_keys", format!("[\"{secret}\"]")),
        ("secrets.previous_master_keys", format!("\"{secret}\"")),
        ("secrets.masterkey", format!("\"{secret}\"")),
        ("secrets", format!("\"{secret}\"")),
        ("hooks.secret", format!("\"whsec_{secret}\"")),
        ("hooks.url", format!("\"https://u:{secret}@host\"")),
        ("database.url", format!("\"mysql://u:{secret}@db\"")),
        ("database.migration_url", format!("{{ password = \"{secret}\" }}")),
        ("public.origin", format!("\"https://u:{secret}@db\"")),
        ("token.issuer", format!("\"https://u:{secret}@db\"")),
        ("database.url", format!("\"{secret}")),
        ("database.url", secret.to_owned()),
    ] {
        let error = Config::from_toml(&format!("{key} = {value}")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
        let variable = format!("EPHEMINT__{}", key.to_uppercase().replace('.', "__"));
        let error = Config::load(None, [(variable.as_str(), value.as_str())]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

#[test]
fn a_key_with_a_line_break_stays_on_one_line() {
    let error = Config::from_toml("log.\"a\\nb\" = 1").unwrap_err();
    assert!(error.to_string().starts_with("log.a\\nb: unknown setting"), "{error}");
}

fn required_toml() -> String {
    format!("public.origin = \"http://localhost\"\ndatabase.url = \"postgres://db\"\nsecrets.master_key = \"{KEY}\"\n")
}

/// A line that is nearly TOML, with real keys more often than not.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<&'static str> = settings().iter().map(|setting| setting.key).collect();
    let values = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|switch| switch.to_string()),
        "[0-9]{0,22}(ns|ms|s|m|h|d|M|y|B|KiB|EiB| )?".prop_map(|text| format!("\"{text}\"")),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
        "[\\[{\\]},=\"a1. ]{0,12}",
        Just(String::from("2026-01-01T00:00:00Z")),
        Just(format!("\"{KEY}\"")),
    ];
    prop_oneof![
        8 => (proptest::sample::select(keys), values).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => "\\[{1,2}[a-z.]{0,9}\\]{1,2}",
        1 => "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn random_toml_never_panics(lines in prop::collection::vec(line(), 0..6)) {
        if let Err(error) = Config::from_toml(&lines.join("\n")) {
            prop_assert_eq!(error.to_string().lines().count(), error.faults.len());
        }
    }

    #[test]
    fn random_variables_never_panic(
        pairs in prop::collection::vec(("EPHEMINT__[A-Z_]{0,20}", "\\PC{0,20}"), 0..4),
        audiences in "[\\[{\\]},=\"'a-c1. \\\\]{0,40}",
    ) {
        let pairs = pairs.into_iter().chain([(String::from("EPHEMINT__AUDIENCE"), audiences)]);
        prop_assert!(Config::load(None, pairs).is_err());
    }

    #[test]
    fn random_values_of_known_variables_never_panic(
        index in 0..settings().len(),
        value in prop_oneof!["\\PC{0,20}", "[0-9]{0,25}[a-zA-Z]{0,3}", "\\[[\\PC]{0,20}\\]"],
    ) {
        let variable = settings()[index].variable().unwrap_or_default();
        if let Err(error) = load(&[(&variable, &value)]) {
            prop_assert!(!error.faults.is_empty());
        }
    }
}
