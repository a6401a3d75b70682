//! The webhook's settings: both halves or none, and addresses that a secret may be sent under.

use std::time::Duration;

use super::*;
use crate::domain::event::EventName;

const URL: (&str, &str) = ("EPHEMINT__HOOKS__URL", "https://hooks.example.com:8443/in?room=1");
const SECRET: (&str, &str) = ("EPHEMINT__HOOKS__SECRET", HOOK_SECRET);

fn fault(variables: &[(&str, &str)]) -> String {
    let error = refused(variables);
    assert_eq!(error.faults.len(), 1, "{error}");
    error.to_string()
}

#[test]
fn without_an_address_there_is_no_webhook() {
    let hooks = load(&[]).unwrap().config.hooks;
    assert!(hooks.receiver.is_none());
    assert_eq!(hooks.events, EventName::ALL);
    assert_eq!((hooks.timeout, hooks.max_attempts, hooks.max_pending), (Duration::from_secs(5), 10, 10_000));
}

#[test]
fn address_and_secret_are_set_together_or_not_at_all() {
    let receiver = load(&[URL, SECRET]).unwrap().config.hooks.receiver.unwrap();
    assert_eq!(receiver.url.as_str(), URL.1);
    assert_eq!(receiver.secrets[0].expose().as_slice(), b"@ABCDEFGHIJKLMNOPQRSTUVW");
    assert!(fault(&[URL]).starts_with("hooks.secret: unsafe combination: hooks.url is set"));
    assert!(fault(&[SECRET]).starts_with("hooks.url: unsafe combination: hooks.secret is set"));
}

#[test]
fn a_secret_may_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{HOOK_SECRET}\n")).unwrap();
    let from_file = ("EPHEMINT__HOOKS__SECRET__FILE", file.path().to_str().unwrap());
    assert_eq!(load(&[URL, from_file]).unwrap().config.hooks.receiver.unwrap().secrets.len(), 1);
}

#[test]
fn an_address_is_https_or_on_loopback() {
    for url in
        ["https://hooks.example.com", "http://127.0.0.1:9000/in", "http://localhost/%41?a=b@c", "http://[::1]:1/"]
    {
        assert!(load(&[("EPHEMINT__HOOKS__URL", url), SECRET]).is_ok(), "{url}");
    }
    for url in [
        "http://hooks.example.com",
        "http://192.0.2.1/",
        "ftp://hooks.example.com",
        "hooks.example.com",
        "https://user@hooks.example.com",
        "https://user:pw@hooks.example.com",
        "https://hooks.example.com/#a",
        "https://hooks.example.com/a b",
        "https://hooks.example.com\\a",
        "https://",
        "",
    ] {
        assert!(fault(&[("EPHEMINT__HOOKS__URL", url), SECRET]).starts_with("hooks.url: found "), "{url}");
    }
}

#[test]
fn events_are_chosen_by_name() {
    let chosen = |events| {
        let loaded = load(&[URL, SECRET, ("EPHEMINT__HOOKS__EVENTS", events)]);
        loaded.map(|loaded| loaded.config.hooks.events)
    };
    assert_eq!(
        chosen("[password_changed, new_device, new_device]").unwrap(),
        [EventName::NewDevice, EventName::PasswordChanged]
    );
    assert!(chosen("[]").unwrap_err().to_string().contains("leave it out for every event"));
    let unknown = chosen("[session_started]").unwrap_err().to_string();
    assert!(
        unknown.contains("hooks.events: found") && unknown.contains("new_device, session_token_reused"),
        "{unknown}"
    );
}
