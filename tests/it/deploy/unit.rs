//! The systemd unit and what `make install` does with it. systemd's own analysers judge it; they need no systemd that runs.

use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram, path::Path, process::Command, time::Duration};

use ephemint::config::Config;

use super::root;
use crate::{
    support::{
        database::TestDatabase,
        program::{self, Serving, complaint, config_file},
    },
    tree::file,
};

const UNIT: &str = "docs/systemd/ephemint.service";
/// The most that `systemd-analyze security` may find open, in tenths: 10.0 is a service without any confinement.
const MOST_EXPOSED: u32 = 12;

/// What a key of the unit says, each time that it does.
fn said(key: &str) -> Vec<String> {
    let text = file(UNIT).text;
    text.lines().filter_map(|line| line.strip_prefix(&format!("{key}="))).map(str::to_owned).collect()
}

/// The unit with a program that exists, as systemd's analysers want it.
fn installed_here(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("ephemint.service");
    let program = program::program().display().to_string();
    fs::write(&path, file(UNIT).text.replace("/usr/local/bin/ephemint", &program)).unwrap();
    path
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let output = output.expect("the tests need systemd-analyze (apt-get install systemd)");
    (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), complaint(&output)))
}

#[test]
fn systemd_takes_the_unit_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let unit = installed_here(directory.path());
    let (fine, said) = analyze(&["verify"], &unit);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("ephemint")).collect();
    assert!(fine && about_us.is_empty(), "{said}");

    let broken = fs::read_to_string(&unit).unwrap().replace("DynamicUser=yes", "DynamicUzer=yes");
    fs::write(&unit, broken).unwrap();
    assert!(analyze(&["verify"], &unit).1.contains("DynamicUzer"), "a slip would be seen");
}

#[test]
fn the_unit_leaves_little_open() {
    let directory = tempfile::tempdir().unwrap();
    let unit = installed_here(directory.path());
    let threshold = format!("--threshold={MOST_EXPOSED}");
    let (fine, said) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &unit);
    assert!(fine, "{said}");
    let open = fs::read_to_string(&unit).unwrap().replace("SystemCallFilter=", "#");
    fs::write(&unit, open).unwrap();
    assert!(!analyze(&["security", "--offline=true", "--no-pager", &threshold], &unit).0, "the limit is close");
}

#[test]
fn it_gives_the_service_time_and_its_secrets_as_credentials() {
    let credentials: BTreeMap<String, String> = said("LoadCredential")
        .iter()
        .map(|line| line.split_once(':').map(|(name, path)| (name.to_owned(), path.to_owned())).unwrap())
        .collect();
    let read: Vec<String> = said("Environment")
        .iter()
        .filter_map(|line| line.split_once("=%d/").map(|(_, name)| name.to_owned()))
        .collect();
    assert_eq!(read.len(), credentials.len());
    for name in read {
        assert_eq!(credentials[&name], format!("/etc/ephemint/{name}"));
    }
    let directory = tempfile::tempdir().unwrap();
    let secrets = [("master_key", crate::support::app::MASTER_KEY), ("database_url", "postgresql://e@db.example/e")];
    for (name, value) in secrets {
        fs::write(directory.path().join(name), value).unwrap();
    }
    let here = directory.path().display().to_string();
    let environment: Vec<(String, String)> = said("Environment")
        .iter()
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.replace("%d", &here))).unwrap())
        .collect();
    let config = Config::load(Some(&root("docs/systemd/ephemint.toml")), environment).unwrap().config;
    let stops: u64 = said("TimeoutStopSec")[0].parse().unwrap();
    assert!(stops >= (config.shutdown.drain + config.shutdown.timeout).as_secs() + 5);
    assert_eq!(said("RestartPreventExitStatus"), ["2"]);
    assert_eq!(said("Type"), ["notify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_told_of_readiness_and_of_the_way_out() {
    let database = TestDatabase::migrated().await;
    let file = config_file(&database.url, "shutdown.drain = '100ms'");
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("a word within 10 s");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = program::command(file.path(), &["serve"]);
    command.env("NOTIFY_SOCKET", &socket);
    let mut serving = Serving::start_as(command).await;
    assert_eq!(heard(), "READY=1");
    serving.terminate();
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(serving.exit_code(Duration::from_secs(20)).await, 0);
}

#[test]
fn make_install_puts_the_unit_and_the_samples_below_the_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "install-files", "PREFIX=/usr"]);
    let output = make.arg(format!("DESTDIR={}", directory.path().display())).current_dir(root("")).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
    let unit = fs::read_to_string(directory.path().join("usr/lib/systemd/system/ephemint.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/ephemint serve\n"), "{unit}");
    assert!(!unit.contains("/usr/local"), "{unit}");
    for (name, source) in [
        ("ephemint.toml", "docs/systemd/ephemint.toml"),
        ("nginx.conf", "gateways/nginx.conf"),
        ("roles.sql", "sql/roles.sql"),
        ("roles.sh", "sql/roles.sh"),
    ] {
        let installed = fs::read(directory.path().join("usr/share/ephemint").join(name)).unwrap();
        assert_eq!(installed, fs::read(root(source)).unwrap(), "{name}");
    }
}
