//! Gateway configurations for given addresses, made from the shipped and tested files in `gateways/`.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

const NGINX: &str = include_str!("../../gateways/nginx.conf");
/// What makes nginx keep the exchange's answers: a part for `http`, and one for the exchange's location.
const CACHE_HTTP: &str = include_str!("../../gateways/nginx-cache-http.conf");
const CACHE_EXCHANGE: &str = include_str!("../../gateways/nginx-cache-exchange.conf");
/// The locations of the demo page, which `ephemint dev` alone has.
const DEMO_PAGE: &str = include_str!("demo_page/nginx.conf");

/// The lines of `gateways/nginx.conf` that depend on the installation; each occurs once, whatever its indentation.
mod line {
    pub(super) const LISTEN: &str = "listen 127.0.0.1:8000;";
    pub(super) const PUBLIC: &str = "server 127.0.0.1:8080;";
    pub(super) const GATEWAY: &str = "server 127.0.0.1:8081;";
    pub(super) const APPLICATION: &str = "server 127.0.0.1:8090;";
    pub(super) const EXCHANGE: &str = "proxy_pass http://ephemint_gateway/exchange/demo;";
    pub(super) const ERROR_LOG: &str = "error_log error.log crit;";
    pub(super) const ACCESS_LOG: &str = "access_log access.log requests;";
    /// The place for more locations.
    pub(super) const LOCATIONS: &str = "# Locations of your own go here.";
    /// Before it stands what belongs into `http`.
    pub(super) const SERVER: &str = "    server {\n        listen ";
    /// The last line of the exchange's location.
    pub(super) const METHOD: &str = "            proxy_set_header X-Forwarded-Method $request_method;\n";
    /// The exchange's buffers, without and with a cache.
    pub(super) const BUFFERS: [(&str, &str); 2] =
        [("proxy_buffer_size 32k;", "proxy_buffer_size 64k;"), ("proxy_buffers 4 32k;", "proxy_buffers 4 64k;")];
    /// The lines of the cache that depend on the installation.
    pub(super) const DIRECTORY: &str = "proxy_cache_path /run/ephemint-exchange ";
    pub(super) const MAX_AGE: &str = "\"private, max-age=2\" '';";
    pub(super) const KEY: &str = "proxy_cache_key \"demo ";
    pub(super) const VALID: &str = "proxy_cache_valid 200 1s;";
}

/// Who listens where, as seen from nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NginxAddresses<'a> {
    /// Where nginx itself listens.
    pub listen: SocketAddr,
    /// Ephemint's public listener.
    pub public: SocketAddr,
    /// Ephemint's gateway listener.
    pub gateway: SocketAddr,
    /// The application under `/api/`.
    pub application: SocketAddr,
    /// The name of the audience whose tokens the application takes.
    pub audience: &'a str,
}

/// The same for machines of their own: several replicas behind one nginx, each of them by name or address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NginxSite<'a> {
    /// Where nginx itself listens.
    pub listen: SocketAddr,
    /// Ephemint's public listeners, at least one.
    pub public: &'a [Endpoint],
    /// Ephemint's gateway listeners, at least one.
    pub gateway: &'a [Endpoint],
    /// The application under `/api/`.
    pub application: &'a Endpoint,
    /// The name of the audience whose tokens the application takes.
    pub audience: &'a str,
    /// Whether nginx logs to its standard streams, as containers do, and not to files.
    pub standard_streams: bool,
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// Text that is no host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host and a port, such as 10.0.0.7:8080 or orders.internal:8080")]
pub struct NoEndpoint;

impl Endpoint {
    /// A host on that port.
    ///
    /// # Errors
    /// [`NoEndpoint`] when the host is neither an IP address nor a name of letters, digits, dots and hyphens.
    pub fn new(host: &str, port: u16) -> Result<Self, NoEndpoint> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, port).into());
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let named = host.bytes().all(is_name) && host.starts_with(|first: char| first.is_ascii_alphanumeric());
        if named { Ok(Self(format!("{host}:{port}"))) } else { Err(NoEndpoint) }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NoEndpoint)?;
        Self::new(host, port.parse().map_err(|_| NoEndpoint)?)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The shipped nginx configuration with these addresses; with the default ones it is the shipped file, byte for byte.
#[must_use]
pub fn nginx(addresses: &NginxAddresses<'_>) -> String {
    nginx_for(&NginxSite {
        listen: addresses.listen,
        public: &[addresses.public.into()],
        gateway: &[addresses.gateway.into()],
        application: &addresses.application.into(),
        audience: addresses.audience,
        standard_streams: false,
    })
}

/// The shipped nginx configuration for this site.
#[must_use]
pub fn nginx_for(site: &NginxSite<'_>) -> String {
    let servers = |endpoints: &[Endpoint]| endpoints.iter().map(|endpoint| format!("server {endpoint};")).collect();
    let mut config = String::with_capacity(NGINX.len() + 256);
    for whole in NGINX.split_inclusive('\n') {
        let text = whole.trim();
        let replaced: Vec<String> = match text {
            line::LISTEN => vec![format!("listen {};", site.listen)],
            line::PUBLIC => servers(site.public),
            line::GATEWAY => servers(site.gateway),
            line::APPLICATION => vec![format!("server {};", site.application)],
            line::EXCHANGE => {
                vec![format!("proxy_pass http://ephemint_gateway/exchange/{};", PathSegment(site.audience))]
            }
            line::ERROR_LOG if site.standard_streams => vec!["error_log /dev/stderr crit;".to_owned()],
            line::ACCESS_LOG if site.standard_streams => vec!["access_log /dev/stdout requests;".to_owned()],
            _ => vec![text.to_owned()],
        };
        for line in replaced {
            config.push_str(&whole.replacen(text, &line, 1));
        }
    }
    config
}

/// Where nginx keeps answers where nothing else is said: on a tmpfs, and made by root alone.
pub const CACHE_DIRECTORY: &str = "/run/ephemint-exchange";

/// The same for an nginx that keeps the exchange's answers for `exchange.gateway_cache`, in a directory on a tmpfs.
///
/// Returns nothing for less than two seconds: nginx counts seconds that have begun, so it cannot keep anything for at most one.
#[must_use]
pub fn nginx_with_cache(addresses: &NginxAddresses<'_>, gateway_cache: Duration, directory: &str) -> Option<String> {
    with_cache(&nginx(addresses), addresses.audience, gateway_cache, directory)
}

/// A configuration of [`nginx_for`] for `audience` that keeps the exchange's answers; nothing for less than two seconds.
#[must_use]
pub fn with_cache(config: &str, audience: &str, gateway_cache: Duration, directory: &str) -> Option<String> {
    let seconds = gateway_cache.as_secs();
    let valid = seconds.checked_sub(1).filter(|valid| *valid > 0)?;
    let http = CACHE_HTTP
        .replacen(line::DIRECTORY, &format!("proxy_cache_path {directory} "), 1)
        .replacen(line::MAX_AGE, &format!("\"private, max-age={seconds}\" '';"), 1)
        .replacen("\"2s\"", &format!("\"{seconds}s\""), 1);
    let exchange = CACHE_EXCHANGE.replacen(line::VALID, &format!("proxy_cache_valid 200 {valid}s;"), 1).replacen(
        line::KEY,
        &format!("proxy_cache_key \"{} ", PathSegment(audience)),
        1,
    );
    let mut config = config.replacen(line::SERVER, &format!("{http}{}", line::SERVER), 1).replacen(
        line::METHOD,
        &format!("{}{exchange}", line::METHOD),
        1,
    );
    for (without, with) in line::BUFFERS {
        config = config.replacen(without, with, 1);
    }
    Some(config)
}

/// The same with the demo page of `ephemint dev`, which the microservice serves, at `/demo/` and in the place of `/`.
#[must_use]
pub fn nginx_with_demo_page(addresses: &NginxAddresses<'_>) -> String {
    with_demo_page(&nginx(addresses))
}

/// A configuration of [`nginx_for`] with the demo page.
#[must_use]
pub fn with_demo_page(config: &str) -> String {
    config.replacen(&format!("        {}\n", line::LOCATIONS), DEMO_PAGE, 1)
}

/// Text as one path segment. Audience names need no encoding; anything else must not end the directive that it stands in.
struct PathSegment<'a>(&'a str);

impl fmt::Display for PathSegment<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                formatter.write_char(char::from(byte))
            } else {
                write!(formatter, "%{byte:02X}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem;

    const LINES: [&str; 8] = [
        line::LISTEN,
        line::PUBLIC,
        line::GATEWAY,
        line::APPLICATION,
        line::EXCHANGE,
        line::ERROR_LOG,
        line::ACCESS_LOG,
        line::LOCATIONS,
    ];

    fn addresses(ports: [u16; 4], audience: &str) -> NginxAddresses<'_> {
        let [listen, public, gateway, application] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        NginxAddresses { listen, public, gateway, application, audience }
    }

    fn times(config: &str, line: &str) -> usize {
        config.lines().filter(|found| found.trim() == line).count()
    }

    #[test]
    fn the_default_addresses_give_the_shipped_file() {
        assert_eq!(nginx(&addresses([8000, 8080, 8081, 8090], "demo")), NGINX);
        for line in LINES {
            assert_eq!(times(NGINX, line), 1, "{line}");
        }
    }

    #[test]
    fn every_address_is_replaced() {
        let config = nginx(&addresses([1001, 1002, 1003, 1004], "orders"));
        assert!(!config.contains("127.0.0.1:8"), "a default address is left");
        assert!(!config.contains("demo"), "the default audience is left");
        for line in [
            "listen 127.0.0.1:1001;",
            "server 127.0.0.1:1002;",
            "server 127.0.0.1:1003;",
            "server 127.0.0.1:1004;",
            "proxy_pass http://ephemint_gateway/exchange/orders;",
        ] {
            assert_eq!(times(&config, line), 1, "{line}");
        }
        assert_eq!(config.lines().count(), NGINX.lines().count());
    }

    #[test]
    fn only_dev_has_the_demo_page() {
        let addresses = addresses([8000, 8080, 8081, 8090], "demo");
        assert_eq!(times(&nginx(&addresses), "location /demo/ {"), 0);
        let config = nginx_with_demo_page(&addresses);
        assert_eq!((times(&config, "location /demo/ {"), times(&config, line::LOCATIONS)), (1, 0));
        let protected = config.split("location /api/ {").nth(1).unwrap().split('}').next().unwrap();
        assert!(!protected.contains("auth_request"), "the application's own location stays as it is");
    }

    #[test]
    fn a_gateway_that_keeps_answers_has_both_parts_once_and_its_own_times() {
        let addresses = addresses([8000, 8080, 8081, 8090], "demo");
        let shipped = nginx_with_cache(&addresses, Duration::from_secs(2), CACHE_DIRECTORY).unwrap();
        assert!(shipped.contains(CACHE_HTTP) && shipped.contains(CACHE_EXCHANGE));
        let longer = nginx_with_cache(&addresses, Duration::from_secs(10), "exchange_cache").unwrap();
        for (line, count) in [
            ("\"private, max-age=10\" '';", 1),
            ("proxy_cache_valid 200 9s;", 1),
            ("proxy_buffer_size 64k;", 1),
            ("proxy_buffers 4 64k;", 1),
            ("proxy_buffer_size 32k;", 0),
        ] {
            assert_eq!(times(&longer, line), count, "{line}");
        }
        assert!(longer.contains("proxy_cache_path exchange_cache levels") && !longer.contains(CACHE_DIRECTORY));
        assert!(longer.contains("exchange.gateway_cache = \"10s\""));
        for too_short in [0, 1] {
            assert_eq!(nginx_with_cache(&addresses, Duration::from_secs(too_short), CACHE_DIRECTORY), None);
        }
        for line in [line::SERVER, line::METHOD] {
            assert_eq!(NGINX.matches(line).count(), 1, "{line}");
        }
    }

    #[test]
    fn an_address_that_is_anothers_default_is_not_replaced_again() {
        let config = nginx(&addresses([8090, 8081, 8080, 8000], "demo"));
        let servers: Vec<&str> = config.lines().map(str::trim).filter(|line| line.starts_with("server 1")).collect();
        assert_eq!(servers, ["server 127.0.0.1:8081;", "server 127.0.0.1:8080;", "server 127.0.0.1:8000;"]);
        assert_eq!(times(&config, "listen 127.0.0.1:8090;"), 1);
    }

    #[test]
    fn replicas_stand_side_by_side_and_logs_go_where_containers_look() {
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        let config = nginx_for(&NginxSite {
            listen: "0.0.0.0:8000".parse().unwrap(),
            public: &[endpoint("one:8080"), endpoint("two:8080")],
            gateway: &[endpoint("one:8081"), endpoint("[2001:db8::2]:8081")],
            application: &endpoint("orders.internal:8090"),
            audience: "demo",
            standard_streams: true,
        });
        let servers: Vec<&str> = config.lines().map(str::trim).filter(|line| line.starts_with("server ")).collect();
        assert_eq!(
            servers,
            [
                "server one:8080;",
                "server two:8080;",
                "server one:8081;",
                "server [2001:db8::2]:8081;",
                "server orders.internal:8090;",
                "server {"
            ]
        );
        assert_eq!(times(&config, "access_log /dev/stdout requests;"), 1);
        assert_eq!(times(&config, "error_log /dev/stderr crit;"), 1);
    }

    #[test]
    fn what_is_no_host_and_port_cannot_end_a_directive() {
        for text in ["", "one", "one:", "one:port", "one:70000", ":1", "a b:1", "a;:1", "a{:1", "$a:1", "-a:1", "a/b:1"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(NoEndpoint), "{text}");
        }
        assert_eq!(Endpoint::new("::1", 7).unwrap().to_string(), "[::1]:7");
    }

    #[test]
    fn addresses_of_version_6_and_odd_audiences_keep_the_syntax() {
        let listen = "[::1]:8000".parse().unwrap();
        let config = nginx(&NginxAddresses { listen, ..addresses([1, 2, 3, 4], "a b;}\n$x/../é") });
        assert_eq!(times(&config, "listen [::1]:8000;"), 1);
        assert_eq!(times(&config, "proxy_pass http://ephemint_gateway/exchange/a%20b%3B%7D%0A%24x%2F..%2F%C3%A9;"), 1);
    }

    #[test]
    fn the_problems_that_nginx_writes_are_the_ones_that_the_service_knows() {
        let documents = NGINX.lines().filter_map(|line| line.split_once('\'')).map(|(_, rest)| rest);
        let documents = documents.filter(|rest| rest.starts_with("{\"type\"")).map(|rest| rest.trim_end_matches("';"));
        let documents: Vec<serde_json::Value> = documents.map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(documents.len(), 4);
        for document in documents {
            let code = document["code"].as_str().unwrap();
            if document["type"] == "about:blank" {
                // No page to point to: RFC 9457 §4.2.1 has the status phrase as title then.
                assert_eq!((&document["title"], &document["status"]), (&"Forbidden".into(), &403.into()));
                continue;
            }
            let row = problem::TABLE.iter().find(|row| row.code == code).expect("a problem of that code");
            assert_eq!(document["type"], format!("/problems/{code}"));
            assert_eq!(document["title"], row.title);
            assert_eq!(document["status"], row.status);
        }
    }
}
