//! nginx with the shipped configuration between three stubs.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use ephemint::dev::{
    gateway::{Gateway, GatewayError, Options},
    gateway_config::{NginxAddresses, nginx, nginx_with_cache, nginx_with_demo_page},
};
use tempfile::TempDir;

use crate::{
    client::{Client, Response},
    stub::{Reply, Request, Stub, answer},
};

pub(crate) const TOKEN: &str = "Bearer header.claims.signature";
pub(crate) const CHALLENGE: &str = "Session realm=\"ephemint\"";

/// What the exchange answers to a live session, with these cookies left.
pub(crate) fn allow(cookies: &str) -> Reply {
    answer(200, &[("Authorization", TOKEN), ("X-Upstream-Cookie", cookies), ("Cache-Control", "no-store")], "")
}

/// What the exchange answers without one.
pub(crate) fn no_session() -> Reply {
    answer(401, &[("WWW-Authenticate", CHALLENGE), ("Cache-Control", "no-store")], "")
}

/// A gateway and what stands behind it.
pub(crate) struct Stage {
    // First, so that nginx is gone before what it talks to.
    pub(crate) gateway: Gateway,
    pub(crate) exchange: Stub,
    pub(crate) application: Stub,
    pub(crate) public: Stub,
    _directory: TempDir,
}

/// A stage before its gateway is started.
pub(crate) struct Scenery {
    exchange: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    application: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    edit: fn(&str) -> String,
    configuration: fn(&NginxAddresses<'_>) -> String,
}

impl Scenery {
    /// An application that answers 200 to everything, and an exchange that does what it is told.
    pub(crate) fn new(exchange: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            exchange: Box::new(exchange),
            application: Box::new(|_| answer(200, &[], "from the application")),
            edit: str::to_owned,
            configuration: nginx,
        }
    }

    pub(crate) fn application(mut self, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        self.application = Box::new(behaviour);
        self
    }

    /// Changes the shipped configuration.
    pub(crate) fn edit(mut self, edit: fn(&str) -> String) -> Self {
        self.edit = edit;
        self
    }

    /// Takes the configuration that keeps answers for two seconds.
    pub(crate) fn keeping_answers(mut self) -> Self {
        self.configuration = |addresses| nginx_with_cache(addresses, Duration::from_secs(2), "exchange_cache").unwrap();
        self
    }

    /// Takes the configuration of `ephemint dev`.
    pub(crate) fn demo_page(mut self) -> Self {
        self.configuration = nginx_with_demo_page;
        self
    }

    pub(crate) fn start(self) -> Stage {
        let exchange = Stub::start(self.exchange);
        let application = Stub::start(self.application);
        let public = Stub::start(|_| answer(200, &[], "from the public listener"));
        // nginx's account must be able to reach it where we are root.
        let open = fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let gateway = start_gateway(|listen| {
            let config = (self.configuration)(&NginxAddresses {
                listen,
                public: public.address,
                gateway: exchange.address,
                application: application.address,
                audience: "orders",
            });
            let config = (self.edit)(&config);
            let directory = directory.path().join("gateway");
            Options { directory, config, listen, program: None }
        });
        Stage { gateway, exchange, application, public, _directory: directory }
    }
}

/// A port that is free may be taken before nginx has it; then another is tried.
fn start_gateway(options: impl Fn(SocketAddr) -> Options) -> Gateway {
    for _ in 0..10 {
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        match Gateway::start(&options(listen)) {
            Ok(gateway) => return gateway,
            Err(GatewayError::AddressTaken { .. }) => {}
            Err(GatewayError::Ended { log, .. }) if log.contains("Address already in use") => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free port")
}

impl Stage {
    pub(crate) fn start(exchange: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Scenery::new(exchange).start()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.gateway.address())
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, start: &str, headers: &[&str], body: &str) -> Response {
        self.connect().send(start, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path}"), &[], "")
    }

    /// A log of nginx, once it has as many lines as that.
    pub(crate) fn log(&self, name: &str, lines: usize) -> String {
        let path = self.gateway.prefix().join(name);
        for _ in 0..1_000 {
            let text = fs::read_to_string(&path).unwrap();
            if text.lines().count() >= lines {
                return text;
            }
            // A line is written just after its answer; this only paces the retries.
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} has not got {lines} lines")
    }
}
