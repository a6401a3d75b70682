//! `ephemint gateway-config`: a tested gateway configuration for these settings.

use std::{net::SocketAddr, path::Path};

use clap::Subcommand;

use super::{CommandError, healthcheck::reachable, output::print_line};
use crate::{
    config::Config,
    dev::gateway_config::{self, CACHE_DIRECTORY, Endpoint, NginxSite},
};

/// The gateways.
#[derive(Debug, Subcommand)]
pub(super) enum GatewayConfigCommand {
    /// nginx 1.22 or newer, with `auth_request`; it keeps answers where `exchange.gateway_cache` is 2s or more.
    Nginx {
        /// Where nginx listens.
        #[arg(long, default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// Where the application is that nginx protects: an address or a name, and a port.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
        application: Endpoint,
        /// A host on which Ephemint runs, where it is not the one that the listeners name; once for each replica.
        #[arg(long, value_name = "HOST", value_parser = host)]
        replica: Vec<String>,
        /// The audience of the application's tokens; the default audience where it is left out.
        #[arg(long)]
        audience: Option<String>,
        /// Log to standard output and error, as containers do.
        #[arg(long)]
        standard_streams: bool,
    },
}

pub(super) fn run(file: Option<&Path>, command: &GatewayConfigCommand) -> Result<(), CommandError> {
    let config = Config::load_from_process(file)?.config;
    let GatewayConfigCommand::Nginx { listen, application, replica, audience, standard_streams } = command;
    let default = config.exchange.default_audience.as_ref().map(|audience| audience.as_str().to_owned());
    let audience = audience.clone().or(default).ok_or_else(|| {
        CommandError::Usage(
            "name the application's audience with --audience, or set exchange.default_audience".to_owned(),
        )
    })?;
    if !config.audiences.iter().any(|policy| policy.name.as_str() == audience) {
        return Err({
            let known: Vec<_> = config.audiences.iter().map(|policy| policy.name.as_str()).collect();
            CommandError::Usage(format!("there is no [[audience]] of that name; there are: {}", known.join(", ")))
        });
    }
    let text = gateway_config::nginx_for(&NginxSite {
        listen: *listen,
        public: &endpoints(replica, config.public.listen)?,
        gateway: &endpoints(replica, config.gateway.listen)?,
        application,
        audience: &audience,
        standard_streams: *standard_streams,
    });
    let kept = gateway_config::with_cache(&text, &audience, config.exchange.gateway_cache, CACHE_DIRECTORY);
    let text = kept.unwrap_or(text);
    print_line(text.trim_end());
    Ok(())
}

fn host(text: &str) -> Result<String, String> {
    let checked = Endpoint::new(text, 0).map(|_| text.to_owned());
    checked.map_err(|_| "an IP address or a name, without a port".to_owned())
}

/// Where a listener is on each replica, or where it is on this machine.
fn endpoints(replicas: &[String], listen: SocketAddr) -> Result<Vec<Endpoint>, CommandError> {
    if replicas.is_empty() {
        return Ok(vec![reachable(listen).into()]);
    }
    let endpoints = replicas.iter().map(|host| Endpoint::new(host, listen.port()));
    endpoints.collect::<Result<_, _>>().map_err(|error| CommandError::Usage(error.to_string()))
}
