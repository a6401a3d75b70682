//! The commands from outside: exit codes, help, what they print and what they never print.

mod sessions;

use std::{
    fs::OpenOptions,
    path::Path,
    process::{Output, Stdio},
};

use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::support::{
    app::MASTER_KEY,
    database::TestDatabase,
    program::{Serving, command, complaint, config_file, run},
};

/// No database is behind this address; nothing here may need one.
const NOWHERE: &str = "postgresql://me:open-sesame@127.0.0.1:1/nowhere?sslmode=disable";

/// Every command with the options of its own, `--config`, `--help` and `--version` apart.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (&[], &[]),
    (&["dev"], &["--admin", "--data-dir", "--ephemeral", "--front", "--gateway", "--log", "--public", "--service"]),
    (&["serve"], &[]),
    (&["migrate"], &[]),
    (&["config"], &[]),
    (&["config", "check"], &[]),
    (&["config", "show"], &["--json"]),
    (&["keys"], &[]),
    (&["keys", "list"], &["--json"]),
    (&["keys", "rotate"], &["--compromised", "--json"]),
    (&["sessions"], &[]),
    (&["sessions", "list"], sessions::LIST),
    (&["sessions", "revoke"], sessions::REVOKE),
    (&["clients"], &[]),
    (&["clients", "add"], &["--json", "--scope"]),
    (&["clients", "list"], &["--json"]),
    (&["clients", "rotate"], &["--json"]),
    (&["clients", "remove"], &[]),
    (&["users"], &[]),
    (&["users", "add"], &["--subject"]),
    (&["users", "list"], &["--json"]),
    (&["users", "set-password"], &[]),
    (&["users", "disable"], &[]),
    (&["users", "enable"], &[]),
    (&["users", "delete"], &[]),
    (&["gateway-config"], &[]),
    (&["gateway-config", "nginx"], &["--application", "--audience", "--listen", "--replica", "--standard-streams"]),
    (&["healthcheck"], &[]),
];

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", complaint(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

#[tokio::test]
async fn the_version_names_the_commit() {
    for flag in ["--version", "-V"] {
        let output = run(Path::new("none"), &[flag]).await;
        assert_eq!(output.status.code(), Some(0));
        let version = said(&output);
        let commit = version.trim_end().strip_prefix(concat!("ephemint ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
        let commit = commit.strip_suffix(')').unwrap();
        assert!(
            commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && commit.len() >= 7,
            "{commit}"
        );
    }
}

#[tokio::test]
async fn the_help_at_the_top_names_every_command_in_a_sentence() {
    let output = run(Path::new("none"), &["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let help = said(&output);
    // Other commands may stand between these.
    let mut rest = help.as_str();
    for line in "\
Revocable sessions in Postgres, exchanged at the gateway for short-lived JWTs

Usage: ephemint [OPTIONS] <COMMAND>

Commands:
  serve  Run the service
  migrate  Bring the database's schema up to date. Safe from several
  replicas at once
  config  Check or show the configuration
  keys  List or rotate the signing keys
  sessions  Find sessions, and end them
  clients  Manage service credentials for the admin API
  help  Print this message or the help of the given subcommand(s)

Options:
  --config <FILE>  The configuration file (TOML). Variables
  `EPHEMINT__SECTION__KEY` override it [env:
  EPHEMINT_CONFIG=]
  -h, --help  Print help
  -V, --version  Print version
"
    .lines()
    {
        let position = rest.lines().position(|other| other.split_whitespace().eq(line.split_whitespace()));
        let position = position.unwrap_or_else(|| panic!("{line:?} is not where it belongs in:\n{help}"));
        rest = rest.splitn(position + 2, '\n').last().unwrap();
    }
    assert!(help.lines().all(|line| line.len() <= 80 && line.trim_end() == line), "{help}");
}

#[tokio::test]
async fn every_command_has_a_complete_help_in_words_for_operators() {
    for (path, options) in COMMANDS {
        let arguments: Vec<_> = path.iter().copied().chain(["--help"]).collect();
        let output = run(Path::new("none"), &arguments).await;
        assert_eq!(output.status.code(), Some(0), "{path:?}");
        let help = said(&output);
        // An option's description stands beside it, or below it where the option is long.
        let lines: Vec<_> = help.lines().map(str::trim).collect();
        let mut listed: Vec<&str> = Vec::new();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('-')) {
            let name = line.split([' ', ',']).find(|word| word.starts_with("--")).unwrap();
            let described = line.contains("  ") || lines.get(index + 1).is_some_and(|next| !next.is_empty());
            assert!(described, "{path:?}: {line}");
            listed.push(name);
        }
        listed.sort_unstable();
        let mut expected: Vec<_> = options.iter().copied().chain(["--config", "--help", "--version"]).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{path:?}");
        for jargon in [
            "actix", "async", "clap", "crate", "deadpool", "enum", "figment", "josekit", "option<", "panic", "pathbuf",
            "refinery", "serde", "struct", "thread", "tokio", "unwrap", "vec<", "::",
        ] {
            assert!(!help.to_lowercase().contains(jargon), "{path:?}: {jargon}");
        }
    }
}

#[tokio::test]
async fn a_slip_in_usage_is_exit_code_2_with_a_hint() {
    let file = config_file(NOWHERE, "");
    for (arguments, hint) in [
        (&["serv"][..], "'serve'"),
        (&["keys", "lst"], "a similar subcommand exists: 'list'"),
        (&["serve", "--port", "1"], "unexpected argument '--port'"),
        (&["serve", "extra"], "unexpected argument 'extra'"),
        (&["clients", "add", "backend"], "--scope <SCOPE>"),
        (&["clients", "add", "--scope", "keys:read"], "<NAME>"),
        (&["clients", "add", "backend", "--scope", "everything"], "unknown scope; known are sessions:create"),
        (&["clients", "rotate"], "<CLIENT>"),
        (&["keys", "rotate", "--compromised=yes"], "--compromised"),
    ] {
        let output = run(file.path(), arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(complaint(&output).contains(hint), "{arguments:?}: {}", complaint(&output));
        assert_eq!(said(&output), "", "{arguments:?}");
    }
    // Without any argument the help is what helps.
    let bare = command(file.path(), &[]).output().await.unwrap();
    assert_eq!(bare.status.code(), Some(2));
    assert!(complaint(&bare).contains("Usage: ephemint"), "{}", complaint(&bare));
}

#[tokio::test]
async fn a_configuration_is_judged_whole_and_no_secret_is_repeated() {
    let more = "
        public.listen = 'nowhere'
        public.origin = 'http://example.com'
        database.pool_sise = 3
        secrets.master_key = 'b3Blbi1zZXNhbWU='
        token.ttl = '1h'
        keys.rotate_every = '1h'";
    let file = config_file("mysql://me:open-sesame@host/d", more);
    for arguments in [&["config", "check"][..], &["config", "show"], &["serve"], &["migrate"], &["clients", "list"]] {
        let output = run(file.path(), arguments).await;
        let text = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        for fault in [
            "database.pool_sise: unknown setting; did you mean database.pool_size?",
            "public.listen: found \"nowhere\"; allowed is an IP address and a port",
            "public.origin: found \"http://example.com\"",
            "database.url: found a value (not shown)",
            "secrets.master_key: found a value (not shown)",
            "token.ttl: found \"1h\"; allowed is 5s to 5min",
            "keys.publish_lead: unsafe combination",
        ] {
            assert!(text.contains(fault), "{arguments:?}: {fault} is not in\n{text}");
        }
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.lines().all(|line| line.starts_with("ephemint: configuration: ")), "{text}");
        assert!(!text.contains("sesame") && !text.contains("b3Blbi1zZXNhbWU"), "{text}");
    }
}

#[tokio::test]
async fn what_only_the_parts_can_judge_is_a_configuration_fault_too() {
    for (url, reason) in [
        ("postgresql://me:open-sesame@h/d?sslmode=prefer", "sslmode"),
        ("postgresql://me:open-sesame@h/d?sslmode=verify-full&sslrootcert=/nowhere/root.pem", "/nowhere/root.pem"),
        ("postgresql://me:open-sesame@h/d?colour=red", "a parameter has a name that is not known"),
    ] {
        let file = config_file(url, "");
        for arguments in [&["config", "check"][..], &["serve"], &["keys", "list"]] {
            let output = run(file.path(), arguments).await;
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", complaint(&output));
            assert!(complaint(&output).contains(reason), "{arguments:?}: {}", complaint(&output));
            assert!(!complaint(&output).contains("sesame"), "{}", complaint(&output));
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_a_configuration_fault_and_a_missing_database_is_not() {
    let output = run(Path::new("/nowhere/ephemint.toml"), &["serve"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("/nowhere/ephemint.toml cannot be read"), "{}", complaint(&output));

    let file = config_file(NOWHERE, "");
    for arguments in [&["serve"][..], &["migrate"], &["keys", "list"], &["clients", "list"]] {
        let output = run(file.path(), arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", complaint(&output));
        let text = complaint(&output);
        assert!(text.contains("host=127.0.0.1 port=1 dbname=nowhere"), "{text}");
        assert!(text.contains("the database cannot be reached") && text.contains("Connection refused"), "{text}");
        assert!(!text.contains("sesame") && !text.contains("panicked"), "{text}");
    }
    let check = run(file.path(), &["config", "check"]).await;
    assert_eq!((check.status.code(), said(&check).as_str()), (Some(0), "the configuration is valid\n"));
}

#[tokio::test]
async fn the_settings_are_shown_with_their_origins_and_without_their_secrets() {
    let file = config_file(NOWHERE, "token.ttl = '30s'");
    let show = async |arguments: &[&str]| {
        let mut command = command(file.path(), arguments);
        command.env("EPHEMINT__SESSION__IDLE_TIMEOUT", "10m").env("EPHEMINT_DATABASE_URL", NOWHERE);
        command.output().await.unwrap()
    };
    let output = show(&["config", "show"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    let text = said(&output);
    let path = file.path().display();
    for line in [
        "session.absolute_timeout = \"12h\"  # default",
        "session.idle_timeout = \"10m\"  # variable EPHEMINT__SESSION__IDLE_TIMEOUT",
        "database.url = ***  # variable EPHEMINT_DATABASE_URL",
        &format!("token.ttl = \"30s\"  # file {path}"),
        &format!("secrets.master_key = ***  # file {path}"),
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    let document = json(&show(&["config", "show", "--json"]).await);
    let entries = document.as_array().unwrap();
    let entry = |key: &str| entries.iter().find(|entry| entry["key"] == key).unwrap();
    assert_eq!(entry("token.ttl")["source"]["file"], path.to_string());
    assert_eq!(entry("session.idle_timeout")["source"]["variable"], "EPHEMINT__SESSION__IDLE_TIMEOUT");
    assert_eq!(entry("http.max_head")["source"], "default");
    for text in [text, document.to_string()] {
        assert!(!text.contains("sesame") && !text.contains(MASTER_KEY), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_added_listed_rotated_and_removed() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "");
    let serving = Serving::start(file.path()).await;
    let works = async |secret: &str| {
        let http = Client::builder().no_proxy().build().unwrap();
        let request = http.get(format!("http://{}/admin/keys", serving.admin)).bearer_auth(secret);
        request.send().await.unwrap().status() == StatusCode::OK
    };
    let cli = async |arguments: &[&str]| run(file.path(), arguments).await;

    let added =
        json(&cli(&["clients", "add", "ops", "--scope", "keys:read", "--scope", "keys:rotate", "--json"]).await);
    let (id, first) = (added["client_id"].as_str().unwrap(), added["client_secret"].as_str().unwrap());
    assert_eq!(added.as_object().unwrap().len(), 2);
    assert!(works(first).await);
    let again = cli(&["clients", "add", "ops", "--scope", "keys:read"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        complaint(&again),
        "ephemint: a client of that name exists already; `ephemint clients rotate` gives it a new secret\n"
    );
    let misnamed = cli(&["clients", "add", "o ps", "--scope", "keys:read"]).await;
    assert_eq!(misnamed.status.code(), Some(2), "{}", complaint(&misnamed));

    let listed = json(&cli(&["clients", "list", "--json"]).await);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((listed[0]["name"].as_str(), listed[0]["client_id"].as_str()), (Some("ops"), Some(id)));
    assert_eq!(listed[0]["scopes"], serde_json::json!(["keys:read", "keys:rotate"]));
    let table = said(&cli(&["clients", "list"]).await);
    assert!(table.starts_with("NAME  CLIENT ID") && table.contains("keys:read keys:rotate"), "{table}");
    assert!(!table.contains(first) && !listed.to_string().contains(first));

    let second =
        json(&cli(&["clients", "rotate", "ops", "--json"]).await)["client_secret"].as_str().unwrap().to_owned();
    assert!(works(&second).await && !works(first).await);
    let shown = said(&cli(&["clients", "rotate", id]).await);
    let third = shown.lines().find_map(|line| line.strip_prefix("client secret  ")).unwrap();
    assert!(works(third).await && !works(&second).await);
    assert_eq!(said(&cli(&["clients", "remove", "ops"]).await), "removed ops\n");
    assert!(!works(third).await);
    for arguments in [["clients", "remove", "ops"], ["clients", "rotate", "ops"]] {
        let unknown = cli(&arguments).await;
        assert_eq!(unknown.status.code(), Some(1));
        assert_eq!(complaint(&unknown), "ephemint: no client has that name or id\n");
    }
    assert_eq!(json(&cli(&["clients", "list", "--json"]).await), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_and_rotated() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "");
    drop(Serving::start(file.path()).await);
    let cli = async |arguments: &[&str]| run(file.path(), arguments).await;
    let by_state = |keys: &Value, algorithm: &str, state: &str| {
        let keys = keys.as_array().unwrap().iter();
        let kids =
            keys.filter(|key| key["algorithm"] == algorithm && key["state"] == state).map(|key| key["kid"].clone());
        kids.collect::<Vec<_>>()
    };
    let before = json(&cli(&["keys", "list", "--json"]).await);
    let table = said(&cli(&["keys", "list"]).await);
    assert!(table.starts_with("KEY ID") && table.lines().count() == 5, "{table}");
    for algorithm in ["ES256", "RS256"] {
        assert_eq!(by_state(&before, algorithm, "active").len(), 1);
        assert_eq!(by_state(&before, algorithm, "pending").len(), 1);
    }
    let planned = json(&cli(&["keys", "rotate", "--json"]).await);
    assert_eq!(json(&cli(&["keys", "rotate", "--json"]).await), planned, "a plan that stands is planned again");
    let rotations = planned["rotations"].as_array().unwrap();
    assert_eq!(rotations.len(), 2);
    for rotation in rotations {
        let algorithm = rotation["algorithm"].as_str().unwrap();
        assert_eq!(by_state(&before, algorithm, "pending"), [rotation["kid"].clone()]);
    }
    let text = said(&cli(&["keys", "rotate", "--compromised"]).await);
    assert_eq!(text.lines().count(), 2, "{text}");
    let after = json(&cli(&["keys", "list", "--json"]).await);
    for algorithm in ["ES256", "RS256"] {
        assert_eq!(by_state(&after, algorithm, "active"), by_state(&before, algorithm, "pending"));
        assert_eq!(by_state(&after, algorithm, "pending").len(), 1);
        assert!(!after.to_string().contains(by_state(&before, algorithm, "active")[0].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_cannot_be_written_is_no_panic() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "");
    drop(Serving::start(file.path()).await);
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["keys", "list"],
        &["clients", "list", "--json"],
        &["clients", "rotate", "nobody"],
        &["migrate"],
        &["--help"],
        &["--version"],
    ] {
        // A reader that has gone before the first line, as with `| head -0`.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut gone = command(file.path(), arguments);
        let gone = gone.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = gone.wait_with_output().await.unwrap();
        assert!([0, 1].contains(&output.status.code().unwrap()), "{arguments:?}: {:?}", output.status);
        assert!(!complaint(&output).contains("panicked"), "{arguments:?}: {}", complaint(&output));
    }
    // A full disk, where the one copy of a secret would be lost in silence.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut lost = command(file.path(), &["clients", "add", "backend", "--scope", "keys:read"]);
    let lost = lost.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = lost.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).ends_with("ephemint: the output could not be written\n"), "{}", complaint(&output));
}

#[tokio::test]
async fn the_demonstration_never_leaves_this_machine() {
    for option in ["--front", "--public", "--gateway", "--admin", "--service"] {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0", "127.0.0.1", "localhost:8000"] {
            let output = run(Path::new("none"), &["dev", "--ephemeral", option, address]).await;
            let text = complaint(&output);
            assert_eq!(output.status.code(), Some(2), "{option} {address}: {text}");
            assert!(text.contains("loopback") || text.contains("an address and a port"), "{text}");
        }
    }
}
