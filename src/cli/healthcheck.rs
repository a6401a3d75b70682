//! `ephemint healthcheck`: asks a running service whether it is ready, for supervisors that can only run a program.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use clap::Args;
use reqwest::{Client, redirect::Policy};
use url::Url;

use super::{CommandError, block_on, output::print_line};
use crate::{config::Config, telemetry::error_chain::ErrorChain};

/// How long the whole question may take; less than any supervisor waits.
const LIMIT: Duration = Duration::from_secs(2);
/// How much of a refusal's body is repeated, in characters.
const REPEATED: usize = 500;

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// Ask this address instead of `/readyz` on the configured admin listener. Any 2xx is a yes.
    #[arg(value_parser = plain_http)]
    url: Option<Url>,
}

fn plain_http(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http");
    url.ok_or_else(|| "a URL such as http://127.0.0.1:9090/readyz".to_owned())
}

pub(super) fn run(file: Option<&Path>, arguments: &HealthcheckArguments) -> Result<(), CommandError> {
    let url = match &arguments.url {
        Some(url) => url.to_string(),
        None => format!("http://{}/readyz", reachable(Config::load_from_process(file)?.config.admin.listen)),
    };
    block_on(ask(&url))?.map_err(|reason| CommandError::Failed(anyhow::Error::msg(format!("{url}: {reason}"))))?;
    print_line("healthy");
    Ok(())
}

/// Where this machine reaches a listener: one on all addresses is on loopback as well.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Nothing for a yes, the reason for a no.
async fn ask(url: &str) -> Result<(), String> {
    let client = Client::builder().timeout(LIMIT).redirect(Policy::none()).no_proxy().build();
    let said = |error: &reqwest::Error| ErrorChain(error).to_string();
    let client = client.map_err(|error| said(&error))?;
    let answer = client.get(url).send().await.map_err(|error| said(&error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body: String = answer.text().await.unwrap_or_default().chars().take(REPEATED).collect();
    Err(format!("{status} {}", body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.5:9090", "10.0.0.5:9090"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn only_plain_http_is_asked() {
        assert!(plain_http("http://127.0.0.1:9090/readyz").is_ok());
        for text in ["https://127.0.0.1/", "127.0.0.1:9090", "/readyz", "file:///etc/passwd"] {
            assert!(plain_http(text).is_err(), "{text}");
        }
    }
}
