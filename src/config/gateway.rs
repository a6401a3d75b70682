//! `[gateway]`: the listener for proxies and services.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{List, Number, Text},
    },
    value::{Parsed, Refusal, address, list, number},
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("gateway.listen", Text, "an IP address and a port", "Where gateways ask for exchanges.")
        .default("127.0.0.1:8081"),
    SettingDoc::new(
        "gateway.trusted_proxies",
        List,
        "a list of IP networks such as 10.0.0.0/8 or 10.1.2.3/32, none of them /0",
        "Whose forwarding headers are believed.",
    )
    .default("[127.0.0.0/8, ::1/128]"),
    SettingDoc::new(
        "gateway.workers",
        Number,
        "0 to 64",
        "Worker threads of the gateway listener; 0 means one per core.",
    )
    .default("0"),
];

/// The listener for proxies and services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many worker threads serve it; 0 means one per core.
    pub workers: usize,
}

pub(super) fn read(reader: &mut Reader) -> Option<GatewayConfig> {
    let listen = reader.read("gateway.listen", address);
    let trusted_proxies = reader.read("gateway.trusted_proxies", list(network));
    let workers = reader.read("gateway.workers", number(0..=64));
    Some(GatewayConfig { listen: listen?, trusted_proxies: trusted_proxies?, workers: workers? })
}

fn network(text: &str) -> Parsed<IpNet> {
    let network: IpNet = text.parse().map_err(|_| Refusal::default())?;
    if network.prefix_len() == 0 {
        return Err(Refusal::with_hint("a /0 would believe anyone"));
    }
    Ok(network.trunc())
}
