//! The whole way, for real: the shipped nginx configuration, the service, and a microservice that verifies with a stock
//! library from the key set URL alone.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use ephemint::dev::{
    gateway::{Gateway, Options},
    gateway_config::{NginxAddresses, nginx, nginx_with_cache, nginx_with_demo_page},
    microservice::{self, MicroserviceOptions},
};
use reqwest::{Method, RequestBuilder, Response};
use tempfile::TempDir;

use super::app::{Started, TestApp};

/// nginx in front of a service and a microservice.
pub(crate) struct Site {
    pub(crate) app: TestApp,
    pub(crate) front: SocketAddr,
    gateway: Option<Gateway>,
    _directory: TempDir,
}

impl Site {
    /// A site for the audience `orders`, whose origin is a name that only the service knows.
    pub(crate) async fn open() -> Self {
        Self::for_audience("orders", TestApp::spawn().await).await
    }

    /// The same for an audience and a service of the test's own.
    pub(crate) async fn for_audience(audience: &'static str, app: TestApp) -> Self {
        Self::start(audience, app, free_address(), "https://app.example.com", nginx).await
    }

    /// A site whose nginx keeps answers for two seconds.
    pub(crate) async fn keeping_answers() -> Self {
        let configuration = |addresses: &NginxAddresses<'_>| {
            nginx_with_cache(addresses, Duration::from_secs(2), "exchange_cache").unwrap()
        };
        let app = TestApp::spawn_with("exchange.gateway_cache = '2s'").await;
        Self::start("orders", app, free_address(), "https://app.example.com", configuration).await
    }

    /// A site with the demo page that a browser can use: its origin is where nginx listens.
    pub(crate) async fn for_browsers(more: &str) -> Self {
        let front = free_address();
        let origin = format!("http://{front}");
        let settings = format!("public.origin = '{origin}'\n{more}");
        Self::start("orders", TestApp::spawn_with(&settings).await, front, &origin, nginx_with_demo_page).await
    }

    async fn start(
        audience: &'static str,
        app: TestApp,
        front: SocketAddr,
        issuer: &str,
        configuration: fn(&NginxAddresses<'_>) -> String,
    ) -> Self {
        let service = free_address();
        let options = MicroserviceOptions {
            listen: service,
            key_set_url: format!("http://{}/.well-known/jwks.json", app.addresses.gateway),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
        };
        tokio::spawn(async move { microservice::run(options).await.unwrap() });
        let config = configuration(&NginxAddresses {
            listen: front,
            public: app.addresses.public,
            gateway: app.addresses.gateway,
            application: service,
            audience,
        });
        let directory = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let options = Options { directory: directory.path().join("nginx"), config, listen: front, program: None };
        let gateway = tokio::task::spawn_blocking(move || Gateway::start(&options)).await.unwrap();
        let gateway =
            gateway.unwrap_or_else(|error| panic!("the tests need nginx (apt-get install nginx-light): {error}"));
        let site = Self { app, front, gateway: Some(gateway), _directory: directory };
        site.wait_for(service).await;
        site
    }

    /// A request to nginx.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.app.http.request(method, format!("http://{}{path}", self.front))
    }

    /// Calls the microservice as a browser with this session would.
    pub(crate) async fn call(&self, session: &Started) -> Response {
        self.request(Method::GET, "/api/hello").header("cookie", session.cookie()).send().await.unwrap()
    }

    async fn wait_for(&self, address: SocketAddr) {
        let connected = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), connected).await.unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop().unwrap();
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
