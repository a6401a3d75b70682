//! No enumeration: unknown, wrong, disabled and throttled take the same time.

use ephemint::service::accounts::LoginError;

use super::{PASSWORD, attempt, given_account};
use crate::support::{app::TestApp, timing::all_take_the_same_time};

const WRONG: &str = "gravel otters hum";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_wrong_disabled_and_throttled_take_the_same_time() {
    let app = TestApp::spawn_with("login.longest_delay = '0s'\nlogin.network_free_failures = 1000").await;
    for name in ["wrong", "disabled", "throttled"] {
        given_account(&app, name).await;
    }
    app.state.accounts.disable("disabled").await.unwrap();
    for _ in 0..5 {
        let _ = attempt(&app.state.accounts, "throttled", WRONG, "192.0.2.1").await;
    }
    all_take_the_same_time(["unknown", "wrong", "disabled", "throttled"], async |kind, number| {
        // A network of its own for each, but for the one that is throttled.
        let address = match kind {
            "throttled" => "192.0.2.1".to_owned(),
            _ => format!("10.0.{}.{}", number / 256, number % 256),
        };
        let typed = if ["disabled", "throttled"].contains(&kind) { PASSWORD } else { WRONG };
        let result = attempt(&app.state.accounts, kind, typed, &address).await;
        assert!(matches!(result, Err(LoginError::Refused)), "{kind}: {result:?}");
    })
    .await;
}
