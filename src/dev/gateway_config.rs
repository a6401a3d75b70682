//! Gateway configurations for given addresses, made from the shipped and tested files in `gateways/`.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
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

/// The shipped nginx configuration with these addresses; with the default ones it is the shipped file, byte for byte.
#[must_use]
pub fn nginx(addresses: &NginxAddresses<'_>) -> String {
    let mut config = String::with_capacity(NGINX.len() + 256);
    for whole in NGINX.split_inclusive('\n') {
        let text = whole.trim();
        let replaced = match text {
            line::LISTEN => format!("listen {};", addresses.listen),
            line::PUBLIC => format!("server {};", addresses.public),
            line::GATEWAY => format!("server {};", addresses.gateway),
            line::APPLICATION => format!("server {};", addresses.application),
            line::EXCHANGE => {
                format!("proxy_pass http://ephemint_gateway/exchange/{};", PathSegment(addresses.audience))
            }
            _ => {
                config.push_str(whole);
                continue;
            }
        };
        config.push_str(&whole.replacen(text, &replaced, 1));
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
    let seconds = gateway_cache.as_secs();
    let valid = seconds.checked_sub(1).filter(|valid| *valid > 0)?;
    let http = CACHE_HTTP
        .replacen(line::DIRECTORY, &format!("proxy_cache_path {directory} "), 1)
        .replacen(line::MAX_AGE, &format!("\"private, max-age={seconds}\" '';"), 1)
        .replacen("\"2s\"", &format!("\"{seconds}s\""), 1);
    let exchange = CACHE_EXCHANGE.replacen(line::VALID, &format!("proxy_cache_valid 200 {valid}s;"), 1);
    let mut config = nginx(addresses).replacen(line::SERVER, &format!("{http}{}", line::SERVER), 1).replacen(
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
    nginx(addresses).replacen(&format!("        {}\n", line::LOCATIONS), DEMO_PAGE, 1)
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

    const LINES: [&str; 6] =
        [line::LISTEN, line::PUBLIC, line::GATEWAY, line::APPLICATION, line::EXCHANGE, line::LOCATIONS];

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
