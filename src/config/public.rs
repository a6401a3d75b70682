//! `[public]`: the listener for browsers.

use std::net::SocketAddr;

use super::{
    origin::Origin,
    reader::Reader,
    setting::{SettingDoc, Shape::Text},
    value::{address, text},
};

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new("public.listen", Text, "an IP address and a port", "Where browsers' requests arrive.")
        .default("127.0.0.1:8080"),
    SettingDoc::new(
        "public.origin",
        Text,
        "https://host[:port], or http on a loopback host, without path or trailing slash",
        "What browsers see as the origin of the public listener.",
    ),
];

/// The listener for browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How browsers reach it.
    pub origin: Origin,
}

pub(super) fn read(reader: &mut Reader) -> Option<PublicConfig> {
    let listen = reader.read("public.listen", address);
    let origin = reader.read("public.origin", |value| Origin::parse(text(value)?));
    Some(PublicConfig { listen: listen?, origin: origin? })
}
