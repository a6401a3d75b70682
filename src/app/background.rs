//! The work that goes on beside requests: the revocation log is followed, keys are watched, last-seen times are written, old rows
//! are swept, sessions are counted, events are posted.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use super::services::Services;
use crate::{
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
const LOG_SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// How often live sessions are counted at the most.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

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
        let mut starting = Starting { stopped, metrics: services.metrics.clone(), tasks: Vec::new() };
        let follower = Arc::clone(&services.follower);
        starting.every_or_woken("revocation_log", follow_interval, follower.woken(), move || {
            let follower = Arc::clone(&follower);
            async move { follower.poll().await }
        });
        let revocations = Arc::clone(&services.revocations);
        // Woken by each poll. Beside the polls, so that looking something up never delays one.
        starting.every_or_woken("revocations_feed", follow_interval, revocations.work(), move || {
            let revocations = Arc::clone(&revocations);
            async move { revocations.settle().await }
        });
        let follower = Arc::clone(&services.follower);
        starting.every("revocation_log_sweep", LOG_SWEEP_INTERVAL, move || {
            let follower = Arc::clone(&follower);
            async move { follower.sweep().await.map(drop) }
        });
        if let Some(canary) = &services.canary {
            let canary = Arc::clone(canary);
            starting.every("canary", canary.interval(), move || {
                let canary = Arc::clone(&canary);
                async move { canary.step().await }
            });
        }
        let (database, clock, metrics) =
            (services.database.clone(), Arc::clone(&services.clock), services.metrics.clone());
        starting.every("clock_skew", SKEW_INTERVAL, move || {
            let (database, clock, metrics) = (database.clone(), Arc::clone(&clock), metrics.clone());
            async move {
                let database_time = database.ping().await?;
                let skew = (database_time - clock.now()).as_seconds_f64();
                metrics.clock_skew_seconds.with_label_values(&["database"]).set(skew);
                Ok::<(), StorageError>(())
            }
        });
        let keys = Arc::clone(&services.keys);
        starting.every("signing_keys", poll_interval, move || {
            let keys = Arc::clone(&keys);
            async move { keys.step().await }
        });
        let accounts = Arc::clone(&services.accounts);
        starting.every("login_throttle", LOGIN_THROTTLE_INTERVAL, move || {
            let accounts = Arc::clone(&accounts);
            async move { accounts.sweep().await }
        });
        let count = Arc::clone(&services.session_count);
        starting.every("session_count", COUNT_INTERVAL, move || {
            let count = Arc::clone(&count);
            async move { count.step().await }
        });
        let activity = Arc::clone(&services.activity);
        starting.every("activity", activity.flush_interval(), move || {
            let activity = Arc::clone(&activity);
            async move { activity.flush().await }
        });
        if let Some(webhook) = services.events.webhook() {
            let (webhook, wake) = (Arc::clone(webhook), Arc::clone(webhook.wake()));
            starting.every_or_woken("webhook", WEBHOOK_INTERVAL, wake, move || {
                let webhook = Arc::clone(&webhook);
                async move { webhook.step().await }
            });
        }
        Self { stop, tasks: starting.tasks }
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

/// What tasks are started with.
struct Starting {
    stopped: watch::Receiver<bool>,
    metrics: Metrics,
    tasks: Vec<JoinHandle<()>>,
}

impl Starting {
    /// Runs `step` now and at every interval until stopped.
    fn every<F, W, E>(&mut self, task: &'static str, interval: Duration, step: F)
    where
        F: Fn() -> W + Send + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        self.every_or_woken(task, interval, Arc::new(Notify::new()), step);
    }

    /// The same, and whenever it is woken.
    fn every_or_woken<F, W, E>(&mut self, task: &'static str, interval: Duration, wake: Arc<Notify>, step: F)
    where
        F: Fn() -> W + Send + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (stopped, metrics) = (self.stopped.clone(), self.metrics.clone());
        self.tasks.push(tokio::spawn(run(task, interval, wake, stopped, metrics, step)));
    }
}

/// A failure is logged once, when it begins and when it ends; a panic ends the step, not the task.
async fn run<F, W, E>(
    task: &'static str,
    interval: Duration,
    wake: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
    metrics: Metrics,
    step: F,
) where
    F: Fn() -> W,
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
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
}
