//! What is counted, for `GET /metrics`.
//!
//! Each [`Shild`] counts for itself. No label holds anything that a client or a user chose (requirement H14): routes are the
//! patterns that they were mounted with, all others are of a fixed set, so the number of series is bounded too.

mod answers;
mod store;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::answers::Answers;
pub(crate) use self::store::Metered;
use crate::audit::AuditKind;
use crate::error::{Error, Problem};
use crate::shild::Shild;

/// Upper bounds of the buckets for requests, in seconds: from a look-up to a sign-in that waits for its turn.
const REQUEST_SECONDS: [f64; 11] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 2.5,
];

/// Upper bounds of the buckets for changes of the store, in seconds: from memory to a disk that is slow to sync.
const CHANGE_SECONDS: [f64; 9] = [0.000_1, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// The counters that are moved where things happen. All else is looked up when somebody asks.
pub(crate) struct Metrics {
    registry: Registry,
    answers: Answers,
    events: [IntCounter; AuditKind::ALL.len()],
    throttled: IntCounter,
    tokens: IntCounter,
    change_seconds: HistogramVec,
    change_failures: IntCounterVec,
    sessions: IntGauge,
    /// Live sessions seen since the sweep began anew.
    sessions_seen: AtomicI64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("no other metric has these names");
        let kinds = registered(
            &registry,
            counters(
                "shild_events_total",
                "What happened, by the kinds of the audit log.",
                &["kind"],
            ),
        );
        Self {
            answers: Answers::new(
                registered(
                    &registry,
                    counters(
                        "shild_http_requests_total",
                        "Requests answered.",
                        &["method", "route", "status"],
                    ),
                ),
                registered(
                    &registry,
                    times(
                        "shild_http_request_seconds",
                        "From the head of a request to the head of its answer.",
                        &["method", "route"],
                        &REQUEST_SECONDS,
                    ),
                ),
            ),
            // Made here, so that what has not happened yet is there as 0.
            events: std::array::from_fn(|at| kinds.with_label_values(&[AuditKind::ALL[at].as_str()])),
            throttled: registered(
                &registry,
                counter(
                    "shild_throttled_total",
                    "Attempts refused because too many came from one address.",
                ),
            ),
            tokens: registered(
                &registry,
                counter(
                    "shild_tokens_issued_total",
                    "Access tokens issued, by sign-in or refresh.",
                ),
            ),
            change_seconds: registered(
                &registry,
                times(
                    "shild_store_change_seconds",
                    "From a change of the store to its acknowledgement, refused ones included.",
                    &["change"],
                    &CHANGE_SECONDS,
                ),
            ),
            change_failures: registered(
                &registry,
                counters(
                    "shild_store_change_failures_total",
                    "Changes that the store could not make because it is unavailable or damaged.",
                    &["change"],
                ),
            ),
            sessions: registered(
                &registry,
                gauge(
                    "shild_sessions",
                    "Live sessions, as of the last full round of the sweep (200 sessions a second).",
                ),
            ),
            sessions_seen: AtomicI64::new(0),
            registry,
        }
    }

    /// A request was answered. `route` is the pattern of the route, never what the client wrote.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.answers.count(method, route, status, took);
    }

    /// Something happened that the audit log is told of.
    pub(crate) fn happened(&self, kind: AuditKind) {
        self.events[kind as usize].inc();
    }

    pub(crate) fn throttled(&self) {
        self.throttled.inc();
    }

    pub(crate) fn issued(&self) {
        self.tokens.inc();
    }

    /// The sweep has looked at the next sessions: so many of them live; whether it is through.
    pub(crate) fn swept(&self, live: usize, through: bool) {
        let live = i64::try_from(live).unwrap_or(i64::MAX);
        let seen = self
            .sessions_seen
            .fetch_add(live, Ordering::Relaxed)
            .saturating_add(live);
        if through {
            self.sessions.set(seen);
            self.sessions_seen.store(0, Ordering::Relaxed);
        }
    }

    fn changed(&self, change: &'static str, took: Duration, failed: bool) {
        self.change_seconds
            .with_label_values(&[change])
            .observe(took.as_secs_f64());
        if failed {
            self.change_failures.with_label_values(&[change]).inc();
        }
    }
}

impl Shild {
    /// Everything that is counted, in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// [`Problem::Internal`] if it cannot be written down, which is a defect.
    pub(crate) fn metrics_text(&self) -> Result<String, Error> {
        let mut families = self.metrics.registry.gather();
        families.extend(self.looked_up());
        TextEncoder::new().encode_to_string(&families).map_err(|cause| {
            tracing::error!(%cause, "the metrics could not be written");
            Error::new(Problem::Internal, "The server could not do this.")
        })
    }

    /// What others count, as it is now.
    fn looked_up(&self) -> Vec<MetricFamily> {
        let registry = Registry::new();
        let total = |name: &str, help: &str, value: u64| registered(&registry, counter(name, help)).inc_by(value);
        let now = |name: &str, help: &str, value: usize| {
            registered(&registry, gauge(name, help)).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let (hasher, load) = (self.hasher.stats(), self.hasher.load());
        total("shild_hashes_total", "Password hashes computed.", hasher.hashes);
        now("shild_hash_waiting", "Passwords that wait for a thread.", load.waiting);
        now(
            "shild_hash_running",
            "Threads that are busy with a password.",
            load.running,
        );
        now(
            "shild_hash_threads",
            "Threads that there are for passwords.",
            self.settings.hash_threads(),
        );
        let busy = Counter::new(
            "shild_hash_busy_seconds_total",
            "How long threads were busy with passwords.",
        );
        registered(&registry, busy.expect("a good name")).inc_by(load.busy.as_secs_f64());
        total(
            "shild_token_cache_hits_total",
            "Access tokens whose signature had been verified before.",
            self.verified.hits(),
        );
        total(
            "shild_token_cache_misses_total",
            "Access tokens that were not remembered, good ones and bad ones.",
            self.verified.misses(),
        );
        now(
            "shild_token_cache_entries",
            "Access tokens that are remembered.",
            self.verified.len(),
        );
        let build = IntGaugeVec::new(
            Opts::new("shild_build_info", "Which shild it is; always 1."),
            &["version"],
        );
        let build = registered(&registry, build.expect("a good name"));
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.gather()
    }
}

/// The metric, once `registry` shows it.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("no two metrics of this file have one name");
    metric
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect("a good name")
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("good names")
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("a good name")
}

fn times(name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
    HistogramVec::new(options, labels).expect("good names, and bounds that rise")
}
