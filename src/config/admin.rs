//! `[admin]`: the listener for operators and trusted back ends.

use std::net::SocketAddr;

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Switch, Text},
    },
    value::{address, switch},
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("admin.listen", Text, "an IP address and a port", "Where administration, metrics and health are.")
        .default("127.0.0.1:9090"),
    SettingDoc::new(
        "admin.allow_plaintext",
        Switch,
        "true or false",
        "Lets the admin listener leave loopback without TLS; credentials then cross the network in the clear.",
    )
    .default("false"),
];

/// The listener for operators and trusted back ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it may listen off loopback, without TLS.
    pub allow_plaintext: bool,
}

pub(super) fn read(reader: &mut Reader) -> Option<AdminConfig> {
    let listen = reader.read("admin.listen", address);
    let allow_plaintext = reader.read("admin.allow_plaintext", switch);
    if let (Some(listen), Some(false)) = (listen, allow_plaintext)
        && !listen.ip().to_canonical().is_loopback()
    {
        let rule = format!(
            "{listen} is off loopback and has no TLS; listen on 127.0.0.1 or [::1], or set admin.allow_plaintext = true"
        );
        reader.combination("admin.listen", rule);
    }
    Some(AdminConfig { listen: listen?, allow_plaintext: allow_plaintext? })
}
