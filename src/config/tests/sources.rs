//! Where values come from: defaults, a file, variables, files named by variables.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ephemint.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn a_variable_overrides_the_file_which_overrides_the_default() {
    let (_directory, path) = written("[session]\nidle_timeout = \"10m\"\nmax_per_subject = 5\n");
    let variables = REQUIRED.into_iter().chain([("EPHEMINT__SESSION__IDLE_TIMEOUT", "20m")]);
    let loaded = Config::load(Some(&path), variables).unwrap();
    let source = |key| shown(&loaded, key).source.clone();
    assert_eq!(source("session.idle_timeout"), Source::Variable("EPHEMINT__SESSION__IDLE_TIMEOUT".into()));
    assert_eq!(source("session.max_per_subject"), Source::File(path));
    assert_eq!(source("session.absolute_timeout"), Source::Default);
    assert_eq!(source("database.url"), Source::Variable("EPHEMINT_DATABASE_URL".into()));
    assert_eq!(loaded.config.session.idle_timeout.as_secs(), 1_200);
    assert_eq!(loaded.config.session.max_per_subject, 5);
}

#[test]
fn audiences_in_a_variable_replace_those_in_the_file() {
    let (_directory, path) = written("[[audience]]\nname = \"orders\"\n[[audience]]\nname = \"billing\"\n");
    let from_file = Config::load(Some(&path), REQUIRED).unwrap();
    assert_eq!(from_file.config.audiences.len(), 2);
    assert_eq!(shown(&from_file, "audience[billing].name").source, Source::File(path.clone()));
    let variables = REQUIRED.into_iter().chain([("EPHEMINT__AUDIENCE", "[{name=\"reports\", ttl=\"30s\"}]")]);
    let loaded = Config::load(Some(&path), variables).unwrap();
    assert_eq!(loaded.config.audiences.len(), 1);
    assert_eq!(shown(&loaded, "audience").value.as_deref(), Some("[\"reports\"]"));
    assert_eq!(
        shown(&loaded, "audience[reports].ttl").to_string(),
        "audience[reports].ttl = \"30s\"  # variable EPHEMINT__AUDIENCE"
    );
}

#[test]
fn variables_are_matched_whatever_their_case_and_foreign_ones_ignored() {
    let loaded = load(&[("EPHEMINT__log__Level", "debug"), ("EPHEMINT_CONFIG", "x"), ("PATH", "/bin")]).unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
}

#[test]
fn a_secret_comes_from_a_file_less_one_newline() {
    for ending in ["", "\n", "\r\n"] {
        let (_directory, path) = written(&format!("{KEY}{ending}"));
        let variables = [
            ("EPHEMINT__PUBLIC__ORIGIN", "https://id.example.com"),
            ("EPHEMINT_DATABASE_URL", "postgres://db"),
            ("EPHEMINT__SECRETS__MASTER_KEY__FILE", path.to_str().unwrap()),
        ];
        let loaded = Config::load(None, variables).unwrap();
        assert_eq!(loaded.config.secrets.master_key.expose()[31], 31);
        let shown = shown(&loaded, "secrets.master_key").to_string();
        assert_eq!(shown, "secrets.master_key = ***  # variable EPHEMINT__SECRETS__MASTER_KEY__FILE");
    }
}

#[test]
fn only_one_newline_is_trimmed() {
    let (_directory, path) = written(&format!("{KEY}\n\n"));
    let file = ("EPHEMINT__SECRETS__MASTER_KEY__FILE", path.to_str().unwrap());
    let error = Config::load(None, [REQUIRED[0], REQUIRED[1], file]).unwrap_err();
    assert_eq!(keys(&error), ["secrets.master_key"]);
}

#[test]
fn the_database_url_and_previous_keys_come_from_files_too() {
    let (_url, url) = written("postgres://file/db\n");
    let (_keys, keys) = written(&format!("[\n  \"{OTHER_KEY}\",\n  {OTHER_KEY}\n]\n"));
    let variables = [
        REQUIRED[0],
        REQUIRED[2],
        ("EPHEMINT_DATABASE_URL__FILE", url.to_str().unwrap()),
        ("EPHEMINT__SECRETS__PREVIOUS_MASTER_KEYS__FILE", keys.to_str().unwrap()),
    ];
    let config = Config::load(None, variables).unwrap().config;
    assert_eq!(config.database.url.expose(), "postgres://file/db");
    assert_eq!(config.secrets.previous_master_keys[1].expose()[0], 32);
}

#[test]
fn a_value_and_a_file_for_the_same_secret_are_a_fault() {
    for pair in [
        ["EPHEMINT__SECRETS__MASTER_KEY", "EPHEMINT__SECRETS__MASTER_KEY__FILE"],
        ["EPHEMINT__DATABASE__URL", "EPHEMINT_DATABASE_URL"],
        ["EPHEMINT_DATABASE_URL", "EPHEMINT_DATABASE_URL__FILE"],
        ["EPHEMINT__LOG__LEVEL", "EPHEMINT__log__level"],
    ] {
        let variables = REQUIRED.into_iter().filter(|(name, _)| !pair.contains(name));
        let error = Config::load(None, variables.chain(pair.map(|name| (name, "x")))).unwrap_err();
        assert!(matches!(error.faults[0].problem, Problem::GivenTwice { .. }), "{error}");
        assert!(pair.iter().all(|name| error.to_string().contains(name)), "{error}");
        assert_eq!(error.faults.len(), 1, "{error}");
    }
}

#[test]
fn a_secret_file_that_cannot_be_read_is_the_only_fault_of_its_setting() {
    let variables = [REQUIRED[0], REQUIRED[1], ("EPHEMINT__SECRETS__MASTER_KEY__FILE", "/nonexistent/key")];
    let error = Config::load(None, variables).unwrap_err();
    assert_eq!(keys(&error), ["secrets.master_key"]);
    assert!(error.to_string().contains("the file /nonexistent/key cannot be read"));
}

#[test]
fn a_secret_given_where_its_file_belongs_is_not_printed() {
    let variables = [REQUIRED[0], REQUIRED[1], ("EPHEMINT__SECRETS__MASTER_KEY__FILE", KEY)];
    let error = Config::load(None, variables).unwrap_err();
    assert_eq!(keys(&error), ["secrets.master_key"]);
    assert!(!format!("{error} {error:?}").contains(KEY));
}

#[test]
fn what_is_no_secret_comes_from_no_file() {
    let error = refused(&[("EPHEMINT__LOG__LEVEL__FILE", "/etc/level")]);
    let expected = "log.level: only secrets may come from a file; set EPHEMINT__LOG__LEVEL itself \
                    (variable EPHEMINT__LOG__LEVEL__FILE)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_missing_file_is_one_fault_and_does_not_make_settings_missing() {
    let path = PathBuf::from("/nonexistent/ephemint.toml");
    let error = Config::load(Some(&path), [("EPHEMINT__LOG__LEVEL", "loud")]).unwrap_err();
    assert_eq!(keys(&error), ["configuration file", "log.level"]);
    assert!(error.to_string().starts_with("configuration file: the file /nonexistent/ephemint.toml cannot be read: "));
}

#[test]
fn an_oversized_or_binary_file_cannot_be_read() {
    let (_directory, path) = written(&"#".repeat(1_100_000));
    assert!(Config::load(Some(&path), NO_VARIABLES).unwrap_err().to_string().contains("larger than 1 MiB"));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(keys(&Config::load(Some(&path), NO_VARIABLES).unwrap_err()), ["configuration file"]);
}

#[test]
fn a_syntax_error_is_placed_but_not_quoted() {
    let (_directory, path) = written("[secrets]\nmaster_key = \"hunter2\nx = 1\n");
    let error = Config::load(Some(&path), NO_VARIABLES).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error.faults[..], [Fault { problem: Problem::Syntax { line: 2, column: 22, .. }, .. }]), "{text}");
    assert!(text.contains("at line 2, column 22: ") && text.contains(path.to_str().unwrap()));
    assert!(!text.contains("hunter2") && !text.contains('\n'));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = OsString::from_vec(vec![0xff]);
    let required = REQUIRED.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let error = Config::load(None, required.into_iter().chain([("EPHEMINT__LOG__LEVEL".into(), bytes)])).unwrap_err();
    assert_eq!(error.to_string(), "log.level: the value is not UTF-8 (variable EPHEMINT__LOG__LEVEL)");
}

#[test]
fn the_environment_of_this_process_is_read_on_request() {
    let directly = Config::load_from_process(None).map(|loaded| loaded.shown);
    assert_eq!(directly, Config::load(None, std::env::vars_os()).map(|loaded| loaded.shown));
}
