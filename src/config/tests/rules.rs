//! What each setting allows, at its edges, and what the defaults are.

use std::time::Duration;

use super::*;
use crate::domain::audience::{Algorithm, Consistency, CrossSiteWrites, TokenType};

#[test]
fn the_defaults_are_those_of_the_contract() {
    let loaded = load(&[]).unwrap();
    let expected = [
        ("public.listen", "\"127.0.0.1:8080\""),
        ("gateway.listen", "\"127.0.0.1:8081\""),
        ("gateway.trusted_proxies", "[\"127.0.0.0/8\", \"::1/128\"]"),
        ("gateway.workers", "0"),
        ("admin.listen", "\"127.0.0.1:9090\""),
        ("session.idle_timeout", "\"30m\""),
        ("session.absolute_timeout", "\"12h\""),
        ("session.cookie_name", "\"__Host-session\""),
        ("session.same_site", "\"lax\""),
        ("session.persistent", "false"),
        ("session.max_per_subject", "50"),
        ("session.activity_granularity", "\"1m\""),
        ("token.issuer", "\"https://id.example.com\""),
        ("token.ttl", "\"60s\""),
        ("token.backdate", "\"5s\""),
        ("token.algorithm", "\"ES256\""),
        ("exchange.max_staleness", "\"2s\""),
        ("exchange.gateway_cache", "\"0s\""),
        ("keys.rotate_every", "\"30d\""),
        ("keys.publish_lead", "\"24h\""),
        ("audience", "[]"),
    ];
    for (key, value) in expected {
        let shown = shown(&loaded, key);
        assert_eq!((shown.value.as_deref(), &shown.source), (Some(value), &Source::Default), "{key}");
    }
}

#[test]
fn the_defaults_resolve_to_typed_values() {
    let config = load(&[]).unwrap().config;
    let seconds = Duration::from_secs;
    assert_eq!(config.public.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.http.head_timeout, config.http.body_timeout), (seconds(5), seconds(10)));
    assert_eq!((config.http.keep_alive, config.http.max_connections), (seconds(120), 10_000));
    assert_eq!((config.http.max_head, config.http.max_body), (32_768, 16_384));
    assert_eq!((config.shutdown.drain, config.shutdown.timeout), (seconds(5), seconds(20)));
    assert_eq!((config.database.migrate, config.database.pool_size), (true, 16));
    assert!(config.database.migration_url.is_none() && config.secrets.previous_master_keys.is_empty());
    assert_eq!((config.session.idle_timeout, config.session.absolute_timeout), (seconds(1_800), seconds(43_200)));
    assert_eq!(config.session.idle_rule().granularity, seconds(60));
    assert_eq!(config.token.issuer.as_str(), "https://id.example.com");
    assert_eq!((config.token.ttl, config.token.algorithm), (seconds(60), Algorithm::Es256));
    assert_eq!((config.exchange.gateway_cache, config.exchange.default_audience), (Duration::ZERO, None));
    assert_eq!((config.keys.rotate_every, config.keys.publish_lead), (seconds(2_592_000), seconds(86_400)));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Auto, LogLevel::Info));
    assert!(config.audiences.is_empty());
}

#[test]
fn every_setting_is_read_and_shown_in_the_order_of_the_table() {
    let loaded = load(&[("EPHEMINT__AUDIENCE", "[{name=a}]")]).unwrap();
    let shown: Vec<_> = loaded.shown.iter().map(|shown| shown.key.replace("[a]", "")).collect();
    let table: Vec<_> = settings().iter().map(|setting| setting.key).collect();
    assert_eq!(shown, table);
}

#[test]
fn each_range_holds_at_its_edges() {
    for (key, allowed, refused) in [
        ("PUBLIC__LISTEN", "[::1]:0|0.0.0.0:80", "localhost:80|127.0.0.1|:80|127.0.0.1:65536|"),
        ("GATEWAY__WORKERS", "0|64", "65|-1|four|1.5|"),
        ("GATEWAY__TRUSTED_PROXIES", "[]|[10.0.0.0/8]", "10.0.0.0/8|[10.0.0.1]|[0.0.0.0/0]|[\"::/0\"]|[1]"),
        ("ADMIN__LISTEN", "127.9.9.9:1|[::1]:1", "0.0.0.0:9090|10.0.0.1:9090|[::]:9090"),
        ("ADMIN__ALLOW_PLAINTEXT", "true|false", "yes|1|\"true\"|"),
        ("HTTP__HEAD_TIMEOUT", "100ms|60s", "99ms|61s|5"),
        ("HTTP__BODY_TIMEOUT", "100ms|60s", "99ms|61s"),
        ("HTTP__KEEP_ALIVE", "1s|1h", "999ms|61m"),
        ("HTTP__MAX_HEAD", "4KiB|64KiB", "4095B|65537B|8192"),
        ("HTTP__MAX_BODY", "1KiB|1MiB", "1023B|1048577B"),
        ("HTTP__MAX_CONNECTIONS", "1|1000000", "0|1000001"),
        ("SHUTDOWN__DRAIN", "0s|10min", "601s|0"),
        ("SHUTDOWN__TIMEOUT", "1s|10min", "0s|601s"),
        ("DATABASE__POOL_SIZE", "1|1000", "0|1001"),
        (
            "DATABASE__MIGRATION_URL",
            "postgresql://db|postgres:///x?host=/run",
            "mysql://db|postgres://|postgres://a b|",
        ),
        ("SESSION__IDLE_TIMEOUT", "1s|12h", "0s|13h|401d"),
        ("SESSION__ABSOLUTE_TIMEOUT", "30m|400d", "29m|401d"),
        ("SESSION__COOKIE_NAME", "__Host-a|__Host-a.b", "session|__Host-|__host-a|__Host-a b|__Host-a;|__Host-a="),
        ("SESSION__SAME_SITE", "lax|strict", "none|Lax|"),
        ("SESSION__MAX_PER_SUBJECT", "1|10000", "0|10001"),
        ("SESSION__ACTIVITY_GRANULARITY", "10ms|60s", "9ms|61s"),
        ("TOKEN__TTL", "5s|5min", "4s|301s|5500ms|60"),
        ("TOKEN__BACKDATE", "0s|30s", "31s|1500ms"),
        ("TOKEN__ALGORITHM", "ES256|EdDSA", "RS256|HS256|none|es256"),
        ("EXCHANGE__MAX_STALENESS", "100ms|60s", "99ms|61s"),
        ("EXCHANGE__GATEWAY_CACHE", "0s|10s", "11s|500ms"),
        ("KEYS__ROTATE_EVERY", "25h|400d", "24h|401d"),
        ("KEYS__PUBLISH_LEAD", "1s|29d", "999ms|30d"),
        ("KEYS__POLL_INTERVAL", "50ms|60s", "49ms|61s"),
        ("LOG__FORMAT", "auto|json|pretty", "text"),
        ("LOG__LEVEL", "error|warn|info|debug|trace", "INFO|off"),
    ] {
        let variable = format!("EPHEMINT__{key}");
        for value in allowed.split('|') {
            load(&[(&variable, value)]).unwrap_or_else(|error| panic!("{key}={value}: {error}"));
        }
        for value in refused.split('|') {
            let error = super::refused(&[(&variable, value)]);
            assert_eq!(error.faults.len(), 1, "{error}");
            assert!(error.to_string().contains(&variable) || error.to_string().contains("default"), "{error}");
        }
    }
}

#[test]
fn an_audience_inherits_and_overrides() {
    let toml = r#"
        [[audience]]
        name = "orders"

        [[audience]]
        name = "reports"
        ttl = "2min"
        claims = ["tenant"]
        scopes = ["read", "write"]
        type = "at+jwt"
        algorithm = "RS256"
        max_auth_age = "1h"
        required_amr = ["otp"]
        consistency = "strict"
        allowed_clients = ["c1"]
        cross_site_writes = "allow"
        enabled = false
    "#;
    let config = Config::from_toml(&format!("{}{toml}", minimal_toml())).unwrap();
    let audience = |name| config.audience(&AudienceName::parse(name).unwrap()).unwrap();
    let orders = audience("orders");
    assert_eq!((orders.lifetime, orders.algorithm), (config.token.ttl, Algorithm::Es256));
    assert_eq!((orders.consistency, orders.cross_site_writes), (Consistency::Bounded, CrossSiteWrites::Deny));
    assert!(orders.enabled && orders.allowed_clients.is_none() && orders.max_auth_age.is_none());
    let reports = audience("reports");
    assert_eq!((reports.lifetime, reports.algorithm), (Duration::from_mins(2), Algorithm::Rs256));
    assert_eq!((reports.token_type, reports.enabled), (TokenType::AccessToken, false));
    assert_eq!(reports.allowed_clients, Some(vec![String::from("c1")]));
    assert_eq!((reports.consistency, reports.cross_site_writes), (Consistency::Strict, CrossSiteWrites::Allow));
    assert_eq!(reports.max_auth_age, Some(Duration::from_hours(1)));
}

#[test]
fn an_audience_is_refused_for_each_broken_rule() {
    let many: Vec<_> = (0..33).map(|index| format!("c{index}")).collect();
    let (many, long) = (format!("[{}]", many.join(",")), "x".repeat(65));
    for (name, value) in [
        ("ttl", "4s"),
        ("ttl", "60"),
        ("claims", "[sub]"),
        ("claims", "[auth_time]"),
        ("claims", &many),
        ("claims", &format!("[{long}]")),
        ("claims", "[\"\"]"),
        ("claims", "tenant"),
        ("scopes", "[\"a b\"]"),
        ("scopes", "[\"a\\\"b\"]"),
        ("scopes", &format!("[{}]", "x".repeat(1_025))),
        ("type", "jwt"),
        ("algorithm", "EdDSA"),
        ("algorithm", "none"),
        ("max_auth_age", "0s"),
        ("required_amr", "[1]"),
        ("consistency", "eventual"),
        ("allowed_clients", "c1"),
        ("cross_site_writes", "true"),
        ("enabled", "yes"),
    ] {
        let error = refused(&[("EPHEMINT__AUDIENCE", &format!("[{{name=orders,{name}={value}}}]"))]);
        assert_eq!(keys(&error), [format!("audience[orders].{name}")], "{error}");
    }
    for (value, key) in [
        ("[{name=a},{name=a}]", "audience[#2].name"),
        ("[{ttl=\"60s\"}]", "audience[#1].name"),
        ("[{name=\"A b\"}]", "audience[#1].name"),
        ("[{name=a,clams=[]}]", "audience[a].clams"),
        ("[a]", "audience"),
        ("orders", "audience"),
        ("[{name=a", "audience"),
    ] {
        assert_eq!(keys(&refused(&[("EPHEMINT__AUDIENCE", value)])), [key]);
    }
}

#[test]
fn the_granularity_of_activity_follows_the_idle_timeout() {
    for (idle, expected) in [("30m", 60_000), ("10m", 30_000), ("1s", 50)] {
        let config = load(&[("EPHEMINT__SESSION__IDLE_TIMEOUT", idle)]).unwrap().config;
        assert_eq!(config.session.activity_granularity, Duration::from_millis(expected));
    }
}

#[test]
fn everything_a_test_needs_short_can_be_short() {
    let variables = [
        ("EPHEMINT__KEYS__ROTATE_EVERY", "3s"),
        ("EPHEMINT__KEYS__PUBLISH_LEAD", "1s"),
        ("EPHEMINT__KEYS__POLL_INTERVAL", "50ms"),
        ("EPHEMINT__SESSION__IDLE_TIMEOUT", "1s"),
        ("EPHEMINT__SESSION__ABSOLUTE_TIMEOUT", "2s"),
        ("EPHEMINT__EXCHANGE__MAX_STALENESS", "100ms"),
        ("EPHEMINT__SHUTDOWN__DRAIN", "0s"),
    ];
    assert_eq!(load(&variables).unwrap().config.keys.rotate_every, Duration::from_secs(3));
}

fn minimal_toml() -> String {
    format!(
        "public.origin = \"http://localhost:8080\"\ndatabase.url = \"postgres://db\"\nsecrets.master_key = \"{KEY}\"\n"
    )
}

#[test]
fn each_listener_has_an_address_of_its_own() {
    let faults = load(&[("EPHEMINT__GATEWAY__LISTEN", "127.0.0.1:8080")]).unwrap_err().to_string();
    assert!(
        faults.contains("gateway.listen: unsafe combination: public.listen has 127.0.0.1:8080 already"),
        "{faults}"
    );
    let any = ["PUBLIC", "GATEWAY", "ADMIN"].map(|listener| format!("EPHEMINT__{listener}__LISTEN"));
    assert!(load(&any.each_ref().map(|variable| (variable.as_str(), "127.0.0.1:0"))).is_ok());
}

#[test]
fn a_network_that_is_not_kept_cannot_change() {
    let precision = ("EPHEMINT__SESSION__ADDRESS_PRECISION", "none");
    let faults = load(&[precision, ("EPHEMINT__SESSION__ON_NETWORK_CHANGE", "end")]).unwrap_err().to_string();
    assert!(
        faults.contains("session.on_network_change: unsafe combination: session.address_precision is none"),
        "{faults}"
    );
    assert!(load(&[precision, ("EPHEMINT__SESSION__ON_USER_AGENT_CHANGE", "end")]).is_ok());
}

#[test]
fn a_gateway_may_not_keep_an_answer_for_more_than_half_of_a_tokens_life() {
    const CACHE: &str = "EPHEMINT__EXCHANGE__GATEWAY_CACHE";
    let audiences = |audiences: &str, cache: &str| load(&[("EPHEMINT__AUDIENCE", audiences), (CACHE, cache)]);
    assert!(load(&[("EPHEMINT__TOKEN__TTL", "5s"), (CACHE, "2s")]).is_ok());
    let fault = refused(&[("EPHEMINT__TOKEN__TTL", "5s"), (CACHE, "3s")]).to_string();
    assert!(
        fault.starts_with("exchange.gateway_cache: unsafe combination: it is longer than half of token.ttl"),
        "{fault}"
    );

    assert!(audiences("[{name=a,ttl=20s}]", "10s").is_ok());
    let fault = audiences("[{name=a},{name=b,ttl=19s}]", "10s").unwrap_err().to_string();
    assert!(fault.starts_with("exchange.gateway_cache: unsafe combination: "), "{fault}");
    assert!(fault.contains("tokens for b, which is 19s"), "{fault}");
    assert!(audiences("[{name=a,ttl=5s,consistency=strict}]", "10s").is_ok(), "its answers are never kept");
}

#[test]
fn uses_that_a_gateway_hides_never_end_a_session_early() {
    let granularity = |variables: &[(&str, &str)]| load(variables).unwrap().config.session.activity_granularity;
    let (idle, cache) = (("EPHEMINT__SESSION__IDLE_TIMEOUT", "1min"), ("EPHEMINT__EXCHANGE__GATEWAY_CACHE", "2s"));
    assert_eq!(granularity(&[idle]), Duration::from_secs(3));
    assert_eq!(granularity(&[idle, cache]), Duration::from_secs(8));
    assert_eq!(granularity(&[cache]), Duration::from_secs(60));

    let fault = refused(&[cache, ("EPHEMINT__SESSION__ACTIVITY_GRANULARITY", "7999ms")]).to_string();
    assert!(fault.starts_with("exchange.gateway_cache: unsafe combination: "), "{fault}");
    assert!(load(&[cache, ("EPHEMINT__SESSION__ACTIVITY_GRANULARITY", "8s")]).is_ok());
}
