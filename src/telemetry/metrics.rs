//! Every metric, in one table: the doc comment of a field is its help text.
//!
//! Names follow the Prometheus conventions: base units, `_total` for counters. Labels are closed sets (route patterns, reasons,
//! query names), never ids. Other rooms count through the fields; only this one names the `prometheus` crate.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
    core::{Collector, GenericGaugeVec},
};

/// One counter, found by its labels once and kept by whoever counts often.
pub type Counter = IntCounter;
/// One histogram of times, found by its labels once.
pub type Timer = Histogram;

/// A gauge with labels that takes fractions, such as ages in seconds.
type GaugeVec = GenericGaugeVec<prometheus::core::AtomicF64>;

/// From 50 µs to 1 s: a reused token and a slow database are both resolved. Bounds that alerts use are not whole numbers.
const FAST: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// From 5 µs to 10 ms: the range of one signature.
const SIGNATURE: [f64; 10] =
    [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01];
/// From 1 ms to 5 s: from a notification that comes at once to twice the usual bound.
const PROPAGATION: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];
/// From 10 ms to 5 s: the range of one password hash.
const PASSWORD: [f64; 10] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
/// Bytes, up to where a response head would become too large for a gateway.
const BYTES: [f64; 8] = [256.0, 384.0, 512.0, 768.0, 1_024.0, 1_536.0, 2_048.0, 3_584.0];

/// One row of the table: what a metric is called, measures and is labelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDoc {
    /// Name with prefix.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// Help text.
    pub help: &'static str,
}

macro_rules! metrics {
    ($( $(#[doc = $doc:literal])+ $field:ident: $kind:ident $(($buckets:expr))? $([$($label:literal),+])?; )+) => {
        /// All metrics of one process; each field is documented by its help text.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Registry,
            $( $(#[doc = $doc])+ pub $field: $kind, )+
        }

        /// The table itself, for documentation and tests.
        pub const TABLE: &[MetricDoc] = &[
            $( MetricDoc {
                name: concat!("ephemint_", stringify!($field)),
                kind: kind_of(stringify!($kind)),
                labels: &[$($($label),+)?],
                help: concat!($($doc),+),
            }, )+
        ];

        impl Metrics {
            /// Registers every metric in a registry of its own, so that many services can live in one process.
            ///
            /// # Errors
            /// When two rows of the table clash, which a test excludes.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $( let $field = register(
                    &registry,
                    <$kind as Make>::make(
                        Opts::new(concat!("ephemint_", stringify!($field)), concat!($($doc),+).trim()),
                        &[$($($label),+)?],
                        &[$($buckets.as_slice())?],
                    )?,
                )?; )+
                Self::register_process(&registry)?;
                Ok(Self { registry, $($field),+ })
            }
        }
    };
}

metrics! {
    /// Session-to-token exchanges, by audience, outcome and where the session was found.
    exchanges_total: IntCounterVec["audience", "outcome", "source"];
    /// Time to decide and answer one exchange, in seconds.
    exchange_duration_seconds: HistogramVec(FAST)["outcome", "source"];
    /// Exchanges being decided now.
    exchanges_in_flight: IntGauge;
    /// Access tokens signed.
    tokens_signed_total: IntCounterVec["alg"];
    /// Time to make one signature, in seconds.
    sign_duration_seconds: HistogramVec(SIGNATURE)["alg"];
    /// Size of the access tokens signed, in bytes.
    token_bytes: Histogram(BYTES);
    /// Database statements run, by name and result.
    database_queries_total: IntCounterVec["query", "result"];
    /// Time of one database statement, in seconds.
    database_query_duration_seconds: HistogramVec(FAST)["query"];
    /// Database connections of the pool.
    database_pool_connections: IntGaugeVec["state"];
    /// The most connections that both pools together may have.
    database_pool_limit: IntGauge;
    /// Time waited for a database connection, in seconds.
    database_pool_wait_seconds: Histogram(FAST);
    /// Sessions started, by how.
    sessions_started_total: IntCounterVec["method"];
    /// Sessions ended by a deliberate act, by reason.
    sessions_ended_total: IntCounterVec["reason"];
    /// Live sessions in the database, as last counted; NaN where they are too many to count in time.
    sessions_active: Gauge;
    /// Time from the writing of a row of the revocation log until this replica has read it, in seconds.
    revocation_propagation_seconds: Histogram(PROPAGATION);
    /// Time that `wait=all` took, in seconds: until every replica had `passed`, or until the `bound`.
    revocation_barrier_seconds: HistogramVec(PROPAGATION)["outcome"];
    /// Whether this replica follows the revocation log, so that it may use what it keeps in memory: 1 or 0.
    invalidation_healthy: IntGauge;
    /// How long ago the last successful reading of the revocation log began, in seconds; NaN before the first.
    invalidation_lag_seconds: Gauge;
    /// Sessions that the feed of revocations names.
    revocations_feed_entries: IntGauge;
    /// Requests that wait for changes of the feed of revocations, event streams included.
    revocations_feed_listeners: IntGauge;
    /// Whether this replica could serve the feed of revocations: 1 or 0. Nobody follows it where it is 0 all the time.
    revocations_feed_complete: IntGauge;
    /// How long this replica may take to notice a revocation (`exchange.max_staleness`), in seconds.
    exchange_max_staleness_seconds: Gauge;
    /// Canary sessions that this replica still believed when it should have known of their revocation: a broken promise.
    canary_overdue_total: IntCounter;
    /// What is kept in memory: `sessions`, and `tokens` of theirs.
    cache_entries: IntGaugeVec["cache"];
    /// Lookups in memory, by cache and result.
    cache_requests_total: IntCounterVec["cache", "result"];
    /// Attempts to sign in with a password, by outcome.
    logins_total: IntCounterVec["outcome"];
    /// Password hashes that wait for a thread.
    password_hash_queue: IntGauge;
    /// The most password hashes that may wait.
    password_hash_queue_limit: IntGauge;
    /// Time to compute one password hash, in seconds.
    password_hash_duration_seconds: Histogram(PASSWORD);
    /// Last-seen times that wait to be written.
    activity_pending: IntGauge;
    /// Time to write one batch of last-seen times, in seconds.
    activity_flush_duration_seconds: Histogram(FAST);
    /// Last-seen times that were dropped because too many waited.
    activity_dropped_total: IntCounter;
    /// Age of the signing keys, in seconds.
    signing_key_age_seconds: GaugeVec["alg", "state"];
    /// Time until the next planned change of the signing key, in seconds.
    signing_key_next_rotation_seconds: GaugeVec["alg"];
    /// Key set requests, by status.
    jwks_requests_total: IntCounterVec["status"];
    /// Security events, by name.
    security_events_total: IntCounterVec["event"];
    /// Security events on their way to the webhook, by what became of an attempt.
    hook_deliveries_total: IntCounterVec["outcome"];
    /// Security events of all replicas that wait to be posted to the webhook.
    hook_deliveries_pending: IntGauge;
    /// HTTP requests answered, by listener, route pattern, method and status.
    http_requests_total: IntCounterVec["listener", "route", "method", "status"];
    /// Time to answer one HTTP request, in seconds.
    http_request_duration_seconds: HistogramVec(FAST)["listener", "route"];
    /// The database's clock less this process's clock, in seconds.
    clock_skew_seconds: GaugeVec["peer"];
    /// Whether a background task is running and succeeded the last time: 1 or 0.
    background_task_up: IntGaugeVec["task"];
    /// The running build; always 1.
    build_info: IntGaugeVec["version", "commit"];
}

impl Metrics {
    /// The text exposition that Prometheus scrapes.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(16 * 1_024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The media type of [`Self::render`].
    #[must_use]
    pub fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }

    #[cfg(target_os = "linux")]
    fn register_process(registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
    }

    #[cfg(not(target_os = "linux"))]
    fn register_process(_registry: &Registry) -> Result<(), prometheus::Error> {
        Ok(())
    }
}

/// Seconds as Prometheus wants them.
#[must_use]
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

const fn kind_of(written: &str) -> &'static str {
    // The first letters tell the kinds apart: IntCounter…, Histogram…, IntGauge… and GaugeVec.
    match written.as_bytes() {
        [b'H', ..] => "histogram",
        [b'I', b'n', b't', b'C', ..] => "counter",
        _ => "gauge",
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// How each kind of metric is made from a row of the table.
trait Make: Sized {
    fn make(opts: Opts, labels: &[&str], buckets: &[&[f64]]) -> Result<Self, prometheus::Error>;
}

macro_rules! make {
    ($kind:ty, |$opts:ident, $labels:ident, $buckets:ident| $body:expr) => {
        impl Make for $kind {
            fn make($opts: Opts, $labels: &[&str], $buckets: &[&[f64]]) -> Result<Self, prometheus::Error> {
                $body
            }
        }
    };
}

make!(IntCounter, |opts, _labels, _buckets| IntCounter::with_opts(opts));
make!(IntCounterVec, |opts, labels, _buckets| IntCounterVec::new(opts, labels));
make!(IntGauge, |opts, _labels, _buckets| IntGauge::with_opts(opts));
make!(IntGaugeVec, |opts, labels, _buckets| IntGaugeVec::new(opts, labels));
make!(Gauge, |opts, _labels, _buckets| Gauge::with_opts(opts));
make!(GaugeVec, |opts, labels, _buckets| GaugeVec::new(opts, labels));
make!(Histogram, |opts, _labels, buckets| Histogram::with_opts(with_buckets(opts, buckets)));
make!(HistogramVec, |opts, labels, buckets| HistogramVec::new(with_buckets(opts, buckets), labels));

fn with_buckets(opts: Opts, buckets: &[&[f64]]) -> HistogramOpts {
    let opts = HistogramOpts::from(opts);
    match buckets {
        [buckets, ..] => opts.buckets(buckets.to_vec()),
        [] => opts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_registers_and_doc_comments_become_help_texts() {
        let metrics = Metrics::new().unwrap();
        metrics.activity_dropped_total.inc();
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("# HELP ephemint_activity_dropped_total Last-seen times that were dropped"), "{text}");
        assert!(text.contains("ephemint_activity_dropped_total 1"), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }

    #[test]
    fn counters_end_in_total_and_nothing_else_does() {
        for row in TABLE {
            assert_eq!(row.name.ends_with("_total"), row.kind == "counter", "{}", row.name);
            assert!(row.help.trim().ends_with('.'), "{}", row.name);
        }
    }
}
