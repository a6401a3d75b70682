//! The work that goes on beside requests: keys are watched, last-seen times are written, old counts are swept, events are posted.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use super::services::Services;
use crate::{
    service::revocation_follower::RevocationFollower,
    storage::error::StorageError,
    telemetry::{error_chain::ErrorChain, metrics::Metrics},
};

/// How often the database's clock is compared with ours.
const SKEW_INTERVAL: Duration = Duration::from_secs(10);
/// How often counts of attempts to sign in that make no difference any more are removed.
const LOGIN_THROTTLE_INTERVAL: Duration = Duration::from_secs(60);
/// How often the outbox of the webhook is looked into, unless something calls for it earlier.
const WEBHOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a task that panicked rests before it is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How often old rows of the revocation log are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// The running tasks.
#[derive(Debug)]
pub struct Background {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts every task; the keys are looked after every `poll_interval`, the revocation log at least every
    /// `follow_interval`.
    #[must_use]
    pub fn start(services: &Services, poll_interval: Duration, follow_interval: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        let keys = Arc::clone(&services.keys);
        let activity = Arc::clone(&services.activity);
        let accounts = Arc::clone(&services.accounts);
        let flush_interval = activity.flush_interval();
        let (database, clock, metrics) =
            (services.database.clone(), Arc::clone(&services.clock), services.metrics.clone());
        let follower = Arc::clone(&services.follower);
        let sweeper = Arc::clone(&services.follower);
        let never = Arc::new(Notify::new());
        let mut tasks = vec![
            follow(follower, follow_interval, stopped.clone(), services.metrics.clone()),
            every(
                "revocation_log_sweep",
                SWEEP_INTERVAL,
                never.clone(),
                stopped.clone(),
                services.metrics.clone(),
                move || {
                    let sweeper = Arc::clone(&sweeper);
                    async move { sweeper.sweep().await.map(drop) }
                },
            ),
            every("clock_skew", SKEW_INTERVAL, never.clone(), stopped.clone(), services.metrics.clone(), move || {
                let (database, clock, metrics) = (database.clone(), Arc::clone(&clock), metrics.clone());
                async move {
                    let database_time = database.ping().await?;
                    let skew = (database_time - clock.now()).as_seconds_f64();
                    metrics.clock_skew_seconds.with_label_values(&["database"]).set(skew);
                    Ok::<(), StorageError>(())
                }
            }),
            every("signing_keys", poll_interval, never.clone(), stopped.clone(), services.metrics.clone(), move || {
                let keys = Arc::clone(&keys);
                async move { keys.step().await }
            }),
            every(
                "login_throttle",
                LOGIN_THROTTLE_INTERVAL,
                never.clone(),
                stopped.clone(),
                services.metrics.clone(),
                move || {
                    let accounts = Arc::clone(&accounts);
                    async move { accounts.sweep().await }
                },
            ),
            every("activity", flush_interval, never, stopped.clone(), services.metrics.clone(), move || {
                let activity = Arc::clone(&activity);
                async move { activity.flush().await }
            }),
        ];
        if let Some(webhook) = services.events.webhook() {
            let (webhook, wake) = (Arc::clone(webhook), Arc::clone(webhook.wake()));
            tasks.push(every("webhook", WEBHOOK_INTERVAL, wake, stopped, services.metrics.clone(), move || {
                let webhook = Arc::clone(&webhook);
                async move { webhook.step().await }
            }));
        }
        Self { stop, tasks }
    }

    /// Ends every task after the step it is in.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task only ends early by a panic, which has been logged.
            let _ = task.await;
        }
    }
}

/// Reads the revocation log when the database says that there is something new, and at every interval.
fn follow(
    follower: Arc<RevocationFollower>,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
    metrics: Metrics,
) -> JoinHandle<()> {
    const TASK: &str = "revocation_log";
    tokio::spawn(async move {
        let mut failing = false;
        loop {
            let result = follower.poll().await;
            metrics.background_task_up.with_label_values(&[TASK]).set(i64::from(result.is_ok()));
            match result {
                Ok(()) if failing => tracing::info!(task = TASK, "background task works again"),
                Ok(()) => {}
                Err(ref error) if failing => {
                    tracing::debug!(task = TASK, error = %ErrorChain(error), "background task fails");
                }
                Err(ref error) => {
                    let error = ErrorChain(error);
                    tracing::error!(task = TASK, %error, "the revocation log cannot be read: every exchange asks the database");
                }
            }
            failing = result.is_err();
            tokio::select! {
                () = follower.woken().notified() => {}
                () = tokio::time::sleep(interval) => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
    })
}

/// Runs `step` at every interval, and when woken, until stopped. A failure is logged once, when it begins and when it ends; a panic ends the step,
/// not the task.
fn every<F, W, E>(
    task: &'static str,
    interval: Duration,
    wake: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
    metrics: Metrics,
    step: F,
) -> JoinHandle<()>
where
    F: Fn() -> W + Send + 'static,
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = wake.notified() => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
            let result = tokio::spawn(step()).await;
            let up = matches!(result, Ok(Ok(())));
            metrics.background_task_up.with_label_values(&[task]).set(i64::from(up));
            match result {
                Ok(Ok(())) if failing => tracing::info!(task, "background task works again"),
                Ok(Ok(())) => {}
                Ok(Err(error)) if failing => {
                    tracing::debug!(task, error = %ErrorChain(&error), "background task fails");
                }
                Ok(Err(error)) => {
                    tracing::error!(task, error = %ErrorChain(&error), "background task fails; it is tried again");
                }
                Err(_) => {
                    tracing::error!(task, "background task panicked; it is started again");
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
            }
            failing = !up;
        }
    })
}
