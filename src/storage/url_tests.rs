//! What each connection string means, which are refused, and that none gives its password away.

use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_mins(1);

fn parse(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn without_an_sslmode_only_local_hosts_are_spoken_to_in_plain_text() {
    for (host, expected) in [
        ("/run/postgresql", "disable"),
        ("localhost", "disable"),
        ("LOCALHOST", "disable"),
        ("127.0.0.1", "disable"),
        ("127.8.0.1", "disable"),
        ("::1", "disable"),
        ("::ffff:127.0.0.1", "disable"),
        ("/run/postgresql,localhost", "disable"),
        ("db.example", "verify-full"),
        ("localhost.example", "verify-full"),
        ("10.0.0.1", "verify-full"),
        ("0.0.0.0", "verify-full"),
        ("::ffff:10.0.0.1", "verify-full"),
        ("localhost,db.example", "verify-full"),
        ("db.example hostaddr=127.0.0.1", "disable"),
        ("localhost hostaddr=10.0.0.1", "verify-full"),
        ("/run/postgresql hostaddr=10.0.0.1", "verify-full"),
        ("localhost sslrootcert=/ca.pem", "verify-full"),
        ("localhost sslcert=/c.pem sslkey=/k.pem", "verify-full"),
    ] {
        assert_eq!(parse(&format!("host={host}")).ssl_mode().as_str(), expected, "{host}");
    }
    assert_eq!(parse("hostaddr=10.0.0.1").ssl_mode().as_str(), "verify-full");
    assert_eq!(parse("hostaddr=127.0.0.1").describe().split(' ').next(), Some("host=127.0.0.1"));
}

#[test]
fn every_sslmode_means_what_it_means_to_libpq() {
    let file = || PathBuf::from("/ca.pem");
    for (parameters, expected) in [
        ("sslmode=disable", Ok(SslMode::Disable)),
        ("sslmode=disable&sslrootcert=/ca.pem", Ok(SslMode::Disable)),
        ("sslmode=allow", Err(DatabaseUrlError::SilentPlaintext)),
        ("sslmode=prefer", Err(DatabaseUrlError::SilentPlaintext)),
        ("sslmode=require", Ok(SslMode::Require)),
        ("sslmode=require&sslrootcert=/ca.pem", Ok(SslMode::VerifyCa { roots: file() })),
        ("sslmode=require&sslrootcert=system", Err(DatabaseUrlError::UnnamedServer)),
        ("sslmode=verify-ca", Err(DatabaseUrlError::UnnamedServer)),
        ("sslmode=verify-ca&sslrootcert=system", Err(DatabaseUrlError::UnnamedServer)),
        ("sslmode=verify-ca&sslrootcert=%2Fca.pem", Ok(SslMode::VerifyCa { roots: file() })),
        ("sslmode=verify-full", Ok(SslMode::VerifyFull { roots: RootCertificates::System })),
        ("sslmode=verify-full&sslrootcert=system", Ok(SslMode::VerifyFull { roots: RootCertificates::System })),
        ("sslrootcert=/ca.pem", Ok(SslMode::VerifyFull { roots: RootCertificates::File(file()) })),
        ("sslm%6Fde=prefer", Err(DatabaseUrlError::SilentPlaintext)),
        ("sslmode=VERIFY-FULL", Err(DatabaseUrlError::InvalidValue("sslmode"))),
        ("sslmode=", Err(DatabaseUrlError::InvalidValue("sslmode"))),
    ] {
        let url = DatabaseUrl::parse(&format!("postgresql://db.example/d?{parameters}"));
        assert_eq!(url.as_ref().map(|url| url.ssl_mode().clone()).map_err(|error| *error), expected, "{parameters}");
        if let Ok(url) = url {
            let plain = url.driver_config(CONNECT_TIMEOUT).get_ssl_mode() == DriverSslMode::Disable;
            assert_eq!(plain, expected == Ok(SslMode::Disable), "{parameters}");
        }
    }
}

#[test]
fn on_unix_sockets_sslmode_means_nothing_unless_a_tls_host_stands_beside() {
    assert_eq!(parse("host=/run/pg sslmode=verify-full").ssl_mode(), &SslMode::Disable);
    assert_eq!(parse("host=/run/pg,db.example sslmode=disable").ssl_mode(), &SslMode::Disable);
    assert_eq!(DatabaseUrl::parse("host=/run/pg,db.example").unwrap_err(), DatabaseUrlError::SocketBesideTls);
    assert_eq!(DatabaseUrl::parse("host=/run/pg sslmode=prefer").unwrap_err(), DatabaseUrlError::SilentPlaintext);
}

#[test]
fn a_value_that_cannot_be_used_is_refused_by_its_name() {
    for (text, expected) in [
        ("", DatabaseUrlError::MissingHost),
        ("postgresql://", DatabaseUrlError::MissingHost),
        ("postgresql:///d", DatabaseUrlError::MissingHost),
        ("host=''", DatabaseUrlError::InvalidValue("host")),
        ("host=h,", DatabaseUrlError::InvalidValue("host")),
        ("postgresql://h:port/d", DatabaseUrlError::InvalidValue("port")),
        ("postgresql://h:70000/d", DatabaseUrlError::InvalidValue("port")),
        ("host=h1,h2,h3 port=1,2", DatabaseUrlError::InvalidValue("port")),
        ("host=h1 hostaddr=localhost", DatabaseUrlError::InvalidValue("hostaddr")),
        ("host=h1 hostaddr=10.0.0.1,10.0.0.2", DatabaseUrlError::InvalidValue("hostaddr")),
        ("host=h connect_timeout=soon", DatabaseUrlError::InvalidValue("connect_timeout")),
        ("host=h tcp_user_timeout=5s", DatabaseUrlError::InvalidValue("tcp_user_timeout")),
        ("host=h target_session_attrs=any", DatabaseUrlError::InvalidValue("target_session_attrs")),
        ("host=h target_session_attrs=standby", DatabaseUrlError::InvalidValue("target_session_attrs")),
        ("host=h channel_binding=maybe", DatabaseUrlError::InvalidValue("channel_binding")),
        ("host=h keepalives_count=1 keepalives_retries=1", DatabaseUrlError::RepeatedParameter("keepalives_retries")),
        ("host=h sslrootcert=''", DatabaseUrlError::InvalidValue("sslrootcert")),
        ("host=h sslcert=/c.pem", DatabaseUrlError::HalfClientCertificate),
        ("host=h sslkey=/k.pem", DatabaseUrlError::HalfClientCertificate),
        ("host=h sslcert=/c.pem sslkey=''", DatabaseUrlError::InvalidValue("sslkey")),
        ("host=h sslpassword=x", DatabaseUrlError::UnsupportedParameter("sslpassword")),
    ] {
        assert_eq!(DatabaseUrl::parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_is_not_written_gets_a_bound() {
    let config = parse("postgresql://db.example/d").driver_config(LONG);
    assert_eq!(config.get_application_name(), Some("ephemint"));
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
    assert_eq!(config.get_tcp_user_timeout(), Some(&TCP_USER_TIMEOUT));
    assert!(config.get_keepalives());
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(10));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(2)));
    assert_eq!(config.get_keepalives_retries(), Some(3));
}

#[test]
fn what_is_written_is_kept() {
    let text = "postgresql://db.example/d?application_name=x&connect_timeout=2&tcp_user_timeout=1500&keepalives=0\
                &keepalives_count=7&target_session_attrs=primary&options=-c%20a%3Db";
    let config = parse(text).driver_config(LONG);
    assert_eq!(config.get_application_name(), Some("x"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(2)));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert!(!config.get_keepalives());
    assert_eq!(config.get_keepalives_retries(), Some(7));
    assert_eq!(config.get_options(), Some("-c a=b"));
    assert_eq!(parse("host=h tcp_user_timeout=0").driver_config(CONNECT_TIMEOUT).get_tcp_user_timeout(), None);
}

#[test]
fn several_hosts_share_the_time_to_connect() {
    let config = parse("host=h1,h2").driver_config(Duration::from_secs(3));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_millis(1500)));
}

#[test]
fn a_description_names_the_place_and_not_the_password() {
    let url = parse("postgresql://me:hunter2@h1:6432,[2001:db8::1]/sessions");
    let expected = "host=h1,2001:db8::1 port=6432,5432 dbname=sessions user=me sslmode=verify-full";
    assert_eq!(url.describe(), expected);
    assert_eq!(format!("{url:?}"), format!("DatabaseUrl({expected})"));
    assert_eq!(url.driver_config(CONNECT_TIMEOUT).get_password(), Some(b"hunter2".as_slice()));
    let local = parse("host=/run/pg user=me").describe();
    assert_eq!(local, "host=/run/pg port=5432 dbname=me user=me sslmode=disable");
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| format!("{escaped}%{byte:02x}"))
}

/// Every text that a caller could print about a connection string.
fn everything_printed(text: &str) -> String {
    match DatabaseUrl::parse(text) {
        Ok(url) => format!("{url:?} {url:#?} {}", url.describe()),
        Err(error) => format!("{error:?} {error:#?} {error}"),
    }
}

proptest! {
    #[test]
    fn a_password_is_read_back_whatever_it_holds(password in "\\PC{0,24}") {
        let escaped = escaped(&password);
        let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
        for text in [
            format!("postgresql://me:{escaped}@h/d"),
            format!("postgresql://h/d?password={escaped}&user=me"),
            format!("host=h password='{quoted}' user=me"),
        ] {
            let url = DatabaseUrl::parse(&text).unwrap();
            let config = url.driver_config(CONNECT_TIMEOUT);
            prop_assert_eq!(config.get_password(), Some(password.as_bytes()), "{}", text);
            prop_assert_eq!(config.get_user(), Some("me"));
        }
    }

    #[test]
    fn a_password_is_never_printed_however_it_is_spelled(tail in "\\PC{0,24}", fault in "[a-z]{0,6}(=[a-z]{0,3})?") {
        let password = format!("S3cr3t{tail}");
        let escaped = escaped(&password);
        for text in [
            format!("postgresql://me:{escaped}@h/d?{fault}"),
            format!("postgresql://me:{password}@h/d?{fault}"),
            format!("postgresql://me:{password}@h:port/d"),
            format!("postgresql://h/d?password={password}&{fault}"),
            format!("postgresql://h/d?{fault}&password={escaped}&sslmode=prefer"),
            format!("host=h password={password} {fault}"),
            format!("host=h user= password={password}"),
            format!("{fault} password='{password}' host=h"),
            format!("password='{password} host=h"),
            format!("host=h {password}={fault}"),
            password.clone(),
        ] {
            let printed = everything_printed(&text);
            prop_assert!(!printed.contains("S3cr3t"), "{} → {}", text, printed);
        }
    }
}
