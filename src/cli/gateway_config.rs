//! `ephemint gateway-config`: a tested gateway configuration for these settings.

use std::{net::SocketAddr, path::Path};

use clap::Subcommand;

use super::{CommandError, output::print_line};
use crate::{
    config::Config,
    dev::gateway_config::{self, CACHE_DIRECTORY, NginxAddresses},
};

/// The gateways.
#[derive(Debug, Subcommand)]
pub(super) enum GatewayConfigCommand {
    /// nginx 1.22 or newer, with `auth_request`; it keeps answers where `exchange.gateway_cache` is 2s or more.
    Nginx {
        /// Where nginx listens.
        #[arg(long, default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// Where the application is that nginx protects.
        #[arg(long, default_value = "127.0.0.1:8090")]
        application: SocketAddr,
        /// The audience of the application's tokens; the default audience where it is left out.
        #[arg(long)]
        audience: Option<String>,
    },
}

pub(super) fn run(file: Option<&Path>, command: &GatewayConfigCommand) -> Result<(), CommandError> {
    let config = Config::load_from_process(file)?.config;
    let GatewayConfigCommand::Nginx { listen, application, audience } = command;
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
    let addresses = NginxAddresses {
        listen: *listen,
        public: config.public.listen,
        gateway: config.gateway.listen,
        application: *application,
        audience: &audience,
    };
    let kept = gateway_config::nginx_with_cache(&addresses, config.exchange.gateway_cache, CACHE_DIRECTORY);
    let text = kept.unwrap_or_else(|| gateway_config::nginx(&addresses));
    print_line(text.trim_end());
    Ok(())
}
