//! The floors of the house: a module imports only from floors below its own, and each library has its rooms.
//!
//! Code that only tests see is left out: tests may look into any room.

use std::collections::HashSet;

use crate::{
    imports,
    tree::{Source, file, files},
};

/// Each room, a folder or file right below `src/`, and its floor.
const FLOORS: &[(&str, Floor)] = &[
    ("clock", Floor::Ground),
    ("config", Floor::Ground),
    ("domain", Floor::Ground),
    ("random", Floor::Ground),
    ("telemetry", Floor::Ground),
    ("version", Floor::Ground),
    ("crypto", Floor::First),
    ("outbound", Floor::First),
    ("storage", Floor::First),
    ("service", Floor::Second),
    ("http", Floor::Third),
    ("app", Floor::Roof),
    ("cli", Floor::Roof),
    ("dev", Floor::Roof),
    ("lib", Floor::Roof),
    ("main", Floor::Roof),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    Ground,
    First,
    Second,
    Third,
    Roof,
}

/// Libraries that shape the code around them, and the only rooms that may name them. Other libraries may be named anywhere
/// but in the domain.
const LIBRARIES: &[(&[&str], &[&str])] = &[
    (
        &["actix_http", "actix_server", "actix_service", "actix_session", "actix_web"],
        &["http", "app", "cli", "dev", "main"],
    ),
    (&["deadpool_postgres", "refinery", "tokio_postgres", "tokio_postgres_rustls"], &["storage"]),
    (&["rustls", "rustls_native_certs"], &["outbound", "storage"]),
    (&["http_body_util", "hyper", "hyper_util", "tokio_rustls"], &["outbound"]),
    (&["josekit"], &["crypto"]),
    (&["argon2"], &["crypto"]),
    (&["aws_lc_rs"], &["crypto", "random"]),
    (&["prometheus"], &["telemetry"]),
    (&["figment"], &["config"]),
    (&["clap"], &["cli", "main"]),
    (&["jsonwebtoken"], &["dev"]),
    (&["reqwest"], &["cli", "dev"]),
    (&["rpassword"], &["cli"]),
];

/// All that the domain may name: no I/O, no async, no framework.
const OF_THE_DOMAIN: &[&str] = &[
    "base64",
    "ipnet",
    "precis_profiles",
    "serde",
    "serde_json",
    "thiserror",
    "time",
    "unicode_normalization",
    "url",
    "uuid",
    "woothee",
    "zeroize",
];

/// One place where a text breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Fault(String);

/// Where `sources` break a rule, and how many imports were looked at.
fn check(sources: &[Source], dependencies: &[String]) -> (Vec<Fault>, usize) {
    let of_tests = test_files(sources);
    let mut faults = Vec::new();
    let mut seen = 0;
    for source in sources.iter().filter(|source| !of_tests.iter().any(|test| is_or_holds(test, &source.path))) {
        let imports = imports::read(&module(&source.path), &source.text);
        let room = room(&source.path);
        let Some(floor) = floor(room) else {
            faults.push(Fault(format!("{}: the room `{room}` stands on no floor", source.path)));
            continue;
        };
        seen += imports.modules.len() + imports.libraries.len();
        for (line, path) in &imports.modules {
            let to = path.first().map_or("", String::as_str);
            let allowed = match self::floor(to) {
                _ if to == room => true,
                Some(below) => below < floor || (below == floor && [Floor::Ground, Floor::Roof].contains(&floor)),
                None => false,
            };
            if !allowed {
                faults.push(Fault(format!("{}:{line}: `{room}` may not import from `{to}`", source.path)));
            }
        }
        for (line, name) in &imports.libraries {
            let rooms = LIBRARIES.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, rooms)| rooms);
            let refused_here = rooms.is_some_and(|rooms| !rooms.contains(&room));
            let refused_in_domain =
                room == "domain" && dependencies.contains(name) && !OF_THE_DOMAIN.contains(&name.as_str());
            if refused_here || refused_in_domain {
                faults.push(Fault(format!("{}:{line}: `{room}` may not name `{name}`", source.path)));
            }
        }
    }
    // One line may name a room twice.
    faults.dedup();
    (faults, seen)
}

/// Files, and folders with a `/` at their end, that only tests see.
fn test_files(sources: &[Source]) -> HashSet<String> {
    let mut found = HashSet::new();
    for source in sources {
        let (folder, name) = source.path.rsplit_once('/').unwrap();
        let below = match name {
            "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
            _ => source.path.trim_end_matches(".rs").to_owned(),
        };
        for test in imports::read(&module(&source.path), &source.text).test_files {
            if test.contains('.') {
                found.insert(format!("{folder}/{test}"));
            } else {
                found.insert(format!("{below}/{test}.rs"));
                found.insert(format!("{below}/{test}/"));
            }
        }
    }
    found
}

fn is_or_holds(test: &str, path: &str) -> bool {
    path == test || (test.ends_with('/') && path.starts_with(test))
}

/// The module that a file holds, from the crate's root.
fn module(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
}

fn room(path: &str) -> &str {
    path.trim_start_matches("src/").trim_end_matches(".rs").split('/').next().unwrap_or_default()
}

fn floor(room: &str) -> Option<Floor> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The crate's dependencies as Rust spells them.
fn dependencies() -> Vec<String> {
    let manifest: toml::Table = file("Cargo.toml").text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect()
}

#[test]
fn imports_go_downwards_and_libraries_stay_in_their_rooms() {
    let (faults, seen) = check(&files("src", ".rs"), &dependencies());
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(seen > 500, "only {seen} imports were seen: the check itself is broken");
}

#[test]
fn every_library_with_a_room_is_a_dependency() {
    let dependencies = dependencies();
    for name in LIBRARIES.iter().flat_map(|(names, _)| *names).chain(OF_THE_DOMAIN) {
        assert!(dependencies.contains(&(*name).to_owned()), "{name}");
    }
}

/// The faults of one text at one path.
fn faults(path: &str, text: &str) -> Vec<String> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    check(&[source], &["tokio".to_owned()]).0.into_iter().map(|Fault(text)| text).collect()
}

#[test]
fn an_import_that_does_not_go_downwards_is_a_fault() {
    for (path, text, to) in [
        ("src/domain/session.rs", "use crate::storage::sessions::Stored;", "storage"),
        ("src/config/mod.rs", "use crate::service;", "service"),
        ("src/clock.rs", "use super::crypto;", "crypto"),
        ("src/crypto/signer.rs", "use super::super::storage::run;", "storage"),
        ("src/storage/run.rs", "use crate::crypto;", "crypto"),
        ("src/storage/mod.rs", "pub use crate::{domain::session, service::{keys, sessions}};", "service"),
        ("src/service/keys.rs", "fn f() { crate::http::problem::page() }", "http"),
        ("src/service/keys.rs", "use ephemint::http;", "http"),
        ("src/service/keys.rs", "mod inner { use super::super::super::http; }", "http"),
        ("src/http/mod.rs", "use crate::dev::postgres;", "dev"),
        ("src/http/mod.rs", "use crate::{\n    // why\n    domain::session,\n    app as wiring,\n};", "app"),
        ("src/http/mod.rs", "use super::*;", "*"),
        ("src/http/mod.rs", "type T = crate::Reexported;", "Reexported"),
        ("src/http/mod.rs", "println!(\"{}\", crate::cli::NAME);", "cli"),
        ("src/http/mod.rs", "#[cfg(not(test))] use crate::app;", "app"),
    ] {
        let found = faults(path, text);
        assert!(
            matches!(found.as_slice(), [fault] if fault.ends_with(&format!("may not import from `{to}`"))),
            "{text}: {found:?}"
        );
    }
    assert_eq!(faults("src/attic/mod.rs", ""), ["src/attic/mod.rs: the room `attic` stands on no floor"]);
    assert_eq!(
        faults("src/http/a.rs", "\n/*\n*/ use crate::dev;"),
        ["src/http/a.rs:3: `http` may not import from `dev`"]
    );
}

#[test]
fn a_library_outside_its_rooms_is_a_fault() {
    for (path, text, name) in [
        ("src/service/keys.rs", "use actix_web::web;", "actix_web"),
        ("src/service/keys.rs", "fn f(pool: ::deadpool_postgres::Pool) {}", "deadpool_postgres"),
        ("src/service/keys.rs", "fn f() -> ::rustls::ClientConfig {}", "rustls"),
        ("src/http/mod.rs", "#[error(from = tokio_postgres::Error)] struct E;", "tokio_postgres"),
        ("src/http/mod.rs", "use josekit as jose;", "josekit"),
        ("src/http/mod.rs", "use {std::fmt, prometheus::{self, Registry}};", "prometheus"),
        ("src/http/mod.rs", "const OPEN: char = '\"'; use figment::Figment; // \"", "figment"),
        ("src/config/mod.rs", "#[derive(clap::Parser)] struct Arguments;", "clap"),
        ("src/dev/mod.rs", "let x: [u8; 2] = aws_lc_rs::rand();", "aws_lc_rs"),
        ("src/cli/mod.rs", "use jsonwebtoken::decode;", "jsonwebtoken"),
        ("src/app/mod.rs", "use reqwest::Client;", "reqwest"),
        ("src/domain/session.rs", "use tokio::time;", "tokio"),
    ] {
        let found = faults(path, text);
        assert!(
            matches!(found.as_slice(), [fault] if fault.ends_with(&format!("may not name `{name}`"))),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn what_the_rules_allow_is_no_fault() {
    for (path, text) in [
        ("src/domain/session.rs", "use crate::random; use super::subject::Subject; use time::Duration;"),
        (
            "src/storage/mod.rs",
            "use crate::{clock::Clock, telemetry}; use tokio_postgres::Client; pub(crate) fn f() {}",
        ),
        ("src/http/admin/keys.rs", "use super::super::problem; use crate::http::state; use crate::service::keys;"),
        ("src/dev/mod.rs", "use crate::{app, http}; mod embedded { use super::super::cli; }"),
        ("src/main.rs", "use ephemint::cli; fn main() { clap::Parser::parse() }"),
        (
            "src/service/keys.rs",
            "// use crate::http;\n/* crate::http::x /* */ crate::dev::y */ const A: &str = \"crate::http::z\";",
        ),
        (
            "src/service/keys.rs",
            "const A: &str = r#\"\" crate::http::z\"#; const B: char = '\"'; fn f<'a>() { Vec::<&'a u8>::new(); }",
        ),
        ("src/service/keys.rs", "#[cfg(test)]\nmod tests { use crate::http; fn f() { { actix_web::x() } } }"),
        (
            "src/service/keys.rs",
            "#[cfg(test)] use crate::http; #[cfg(all(test, unix))] #[inline] fn f(a: [u8; 2]) { crate::http::x() }",
        ),
        ("src/service/keys.rs", "#![cfg(test)] use crate::http;"),
        ("src/storage/tls.rs", "use rustls::crypto::aws_lc_rs; fn f() { aws_lc_rs::default_provider() }"),
    ] {
        assert_eq!(faults(path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn files_that_only_tests_see_are_left_out_and_no_others() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let wrong = "use crate::http;";
    let sources = [
        source("src/storage/mod.rs", "#[cfg(test)] mod test_server; mod url; #[cfg(test)]\nmod tests;"),
        source("src/storage/test_server.rs", wrong),
        source("src/storage/tests/inner.rs", wrong),
        source("src/storage/url.rs", "#[cfg(test)] #[path = \"url_tests.rs\"] mod tests;"),
        source("src/storage/url_tests.rs", wrong),
        source("src/storage/pool_tests.rs", wrong),
    ];
    let (faults, _) = check(&sources, &[]);
    assert_eq!(faults, [Fault("src/storage/pool_tests.rs:1: `storage` may not import from `http`".to_owned())]);
}
