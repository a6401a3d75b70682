//! The services of `docker-compose.yml` as processes of this machine: the same commands, settings and files, with names and ports of
//! loopback in the place of those of the containers' networks.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ephemint::dev::{
    gateway,
    supervisor::{Program, Supervised},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{root, texts, yaml};
use crate::support::program::{Serving, program};

/// The services, what they listen on, and where their files are.
pub(super) struct Services {
    compose: Value,
    /// For each service and port of its container, the port here.
    ports: BTreeMap<(&'static str, u16), u16>,
    directory: TempDir,
}

/// Who listens on what.
const LISTENERS: [(&str, u16); 9] = [
    ("ephemint-1", 8080),
    ("ephemint-1", 8081),
    ("ephemint-1", 9090),
    ("ephemint-2", 8080),
    ("ephemint-2", 8081),
    ("ephemint-2", 9090),
    ("demo", 8090),
    ("gateway", 8000),
    ("prometheus", 9090),
];

impl Services {
    /// The services with free ports and without secrets.
    pub(super) fn new() -> Self {
        // Held until all are known, so that none is given twice.
        let held = LISTENERS.map(|listener| (listener, TcpListener::bind("127.0.0.1:0").unwrap()));
        let ports = held.iter().map(|(listener, socket)| (*listener, socket.local_addr().unwrap().port())).collect();
        // The accounts of nginx's workers must be able to pass through.
        let open = fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let services = Self { compose: yaml("docker-compose.yml"), ports, directory };
        fs::create_dir(services.path("secrets")).unwrap();
        services
    }

    /// A file or folder of this run.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where a service listens here.
    pub(super) fn address(&self, service: &'static str, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&(service, port)]))
    }

    /// A text of a service in which every address and path is one of this machine.
    pub(super) fn rendered(&self, service: &str, text: &str) -> String {
        let mut text = text.to_owned();
        let (own, others): (Vec<_>, Vec<_>) = self.ports.iter().partition(|((owner, _), _)| *owner == service);
        for ((_, port), here) in own {
            for host in ["0.0.0.0", "127.0.0.1"] {
                text = text.replace(&format!("{host}:{port}"), &format!("127.0.0.1:{here}"));
            }
        }
        for ((owner, port), here) in &others {
            text = text.replace(&format!("{owner}:{port}"), &format!("127.0.0.1:{here}"));
        }
        // The alias of both replicas, and the origin, which is where the gateway is published.
        text = text.replace("ephemint:8081", &self.address("ephemint-1", 8081).to_string());
        text = text.replace("http://127.0.0.1:8000", &format!("http://{}", self.address("gateway", 8000)));
        let directory = self.directory.path().display();
        let moved = text.replace("172.30.83.10/32", "127.0.0.1/32");
        let moved = moved.replace("/run/secrets/", &format!("{directory}/secrets/"));
        moved.replace("/run/nginx/", &format!("{directory}/nginx/"))
    }

    /// The environment of a service.
    pub(super) fn environment(&self, service: &str) -> Vec<(String, String)> {
        let variables = self.compose["services"][service]["environment"].as_object().into_iter().flatten();
        variables.map(|(name, value)| (name.clone(), self.rendered(service, value.as_str().unwrap()))).collect()
    }

    /// The words of a list such as `command` or `healthcheck/test`.
    pub(super) fn words(&self, service: &str, pointer: &str) -> Vec<String> {
        let list = self.compose["services"][service].pointer(pointer).unwrap();
        texts(list).into_iter().map(|word| self.mounted(service, word)).collect()
    }

    /// A word whose path, if it has one, is that of a rendered copy of what is mounted there.
    fn mounted(&self, service: &str, word: &str) -> String {
        let (option, path) =
            word.split_once("=/").map_or(("", word), |(option, _)| (option, &word[option.len() + 1..]));
        for mount in texts(&self.compose["services"][service]["volumes"]) {
            let mut parts = mount.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
            let Some(rest) = path.strip_prefix(target).filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
                continue;
            };
            let copy = self.path(&format!("{service}{target}"));
            self.copy(service, &root(source), &copy);
            let equals = if option.is_empty() { "" } else { "=" };
            return format!("{option}{equals}{}{rest}", copy.display());
        }
        self.rendered(service, word)
    }

    /// A rendered copy of a file or a folder; an empty folder for what is no path of the checkout.
    fn copy(&self, service: &str, from: &Path, to: &Path) {
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // Scraped more often, so that nobody waits.
            let text = fs::read_to_string(from).unwrap().replace("scrape_interval: 15s", "scrape_interval: 1s");
            fs::write(to, self.rendered(service, &text)).unwrap();
            return;
        }
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).into_iter().flatten() {
            let entry = entry.unwrap();
            self.copy(service, &entry.path(), &to.join(entry.file_name()));
        }
    }

    /// A command of Ephemint in a service's environment.
    pub(super) fn ephemint(&self, service: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.env_clear().envs(self.environment(service)).args(arguments).kill_on_drop(true);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// A replica that is ready.
    pub(super) async fn replica(&self, service: &str) -> Serving {
        Serving::start_as(self.ephemint(service, &["serve"])).await
    }

    /// The demo microservice.
    pub(super) fn demo(&self) -> Supervised {
        self.supervised("demo", &program(), self.words("demo", "/command"))
    }

    /// nginx.
    pub(super) fn gateway(&self) -> Supervised {
        fs::create_dir(self.path("nginx")).unwrap();
        let words = self.words("gateway", "/entrypoint");
        assert_eq!(words[0], "nginx");
        let program = gateway::find().expect("the tests need nginx (apt-get install nginx-light)");
        self.supervised("gateway", &program, words[1..].to_vec())
    }

    /// Prometheus.
    pub(super) fn prometheus(&self) -> Supervised {
        let mut words = self.words("prometheus", "/command");
        words.push(format!("--web.listen-address={}", self.address("prometheus", 9090)));
        let places = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&places).map(|place| place.join("prometheus")).find(|path| path.is_file());
        let program = found.expect("the tests need Prometheus (apt-get install prometheus)");
        self.supervised("prometheus", &program, words)
    }

    fn supervised(&self, name: &str, program: &Path, arguments: Vec<String>) -> Supervised {
        Supervised::spawn(&Program::new(program).arguments(arguments), &self.log(name)).unwrap()
    }

    /// What a service prints.
    pub(super) fn log(&self, service: &str) -> PathBuf {
        self.path(&format!("{service}.log"))
    }
}
