//! `ephemint demo-service`: the microservice of `ephemint dev`, as a process of its own.

use std::net::SocketAddr;

use clap::Args;

use super::{CommandError, block_on, start_log};
use crate::{
    dev::microservice::{self, MicroserviceOptions},
    telemetry::logging::LogFormat,
};

/// Where it listens and whom it believes.
#[derive(Debug, Args)]
pub(super) struct DemoServiceArguments {
    /// Its own address.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the key set is.
    #[arg(long)]
    key_set_url: String,
    /// The issuer that its tokens must have.
    #[arg(long)]
    issuer: String,
    /// The audience that its tokens must have.
    #[arg(long)]
    audience: String,
}

pub(super) fn run(arguments: DemoServiceArguments) -> Result<(), CommandError> {
    start_log(LogFormat::Auto, "info")?;
    let DemoServiceArguments { listen, key_set_url, issuer, audience } = arguments;
    block_on(microservice::run(MicroserviceOptions { listen, key_set_url, issuer, audience }))?
        .map_err(|error| CommandError::Failed(error.into()))
}
