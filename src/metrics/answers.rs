//! The counters of answers, found without a lock.
//!
//! There is an answer for each request, and prometheus finds a counter by its labels with a hash of their letters, a lock and a
//! reference count, each of which all threads that answer share.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// How many kinds of answers are remembered: as many as a few dozen routes have.
const SLOTS: usize = 512;

/// In how many slots, one behind the other, a kind is looked for.
const TRIES: usize = 8;

/// What is counted of each kind of answer.
pub(super) struct Answers {
    /// By method, route and status.
    requests: IntCounterVec,
    /// By method and route.
    seconds: HistogramVec,
    known: Box<[OnceLock<Counters>]>,
}

/// Those of one kind of answer.
struct Counters {
    method: String,
    route: String,
    status: u16,
    requests: IntCounter,
    seconds: Histogram,
}

impl Answers {
    pub(super) fn new(requests: IntCounterVec, seconds: HistogramVec) -> Self {
        Self {
            requests,
            seconds,
            known: (0..SLOTS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts an answer. `route` lies in the same place each time, or is not remembered.
    pub(super) fn count(&self, method: &str, route: &str, status: u16, took: Duration) {
        let first = (route.as_ptr().addr() >> 3) ^ usize::from(status) ^ method.len();
        for slot in (first..first.wrapping_add(TRIES)).map(|slot| &self.known[slot % SLOTS]) {
            let known = slot.get_or_init(|| self.of(method, route, status));
            if (known.method.as_str(), known.route.as_str(), known.status) == (method, route, status) {
                return known.count(took);
            }
        }
        self.of(method, route, status).count(took);
    }

    fn of(&self, method: &str, route: &str, status: u16) -> Counters {
        let digits = status.to_string();
        Counters {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
            requests: self.requests.with_label_values(&[method, route, digits.as_str()]),
            seconds: self.seconds.with_label_values(&[method, route]),
        }
    }
}

impl Counters {
    fn count(&self, took: Duration) {
        self.requests.inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, Opts};

    use super::*;

    #[test]
    fn each_kind_of_answer_is_counted_for_itself_also_where_there_is_no_room() {
        let requests = IntCounterVec::new(Opts::new("requests", "."), &["method", "route", "status"]).unwrap();
        let seconds = HistogramVec::new(HistogramOpts::new("seconds", "."), &["method", "route"]).unwrap();
        let answers = Answers::new(requests.clone(), seconds.clone());
        let routes: Vec<String> = (0..SLOTS).map(|number| format!("/{number}")).collect();
        let took = Duration::from_millis(1);
        for _ in 0..3 {
            for route in &routes {
                for (method, status) in [("GET", 200), ("GET", 201), ("PUT", 200)] {
                    answers.count(method, route, status, took);
                }
            }
        }
        // The same words in another place.
        let elsewhere = String::from("/7");
        answers.count("GET", &elsewhere, 201, took);
        for route in &routes {
            let of = |method: &str, status: &str| requests.with_label_values(&[method, route, status]).get();
            let once_more = u64::from(route == "/7");
            assert_eq!(
                [of("GET", "200"), of("GET", "201"), of("PUT", "200")],
                [3, 3 + once_more, 3],
                "{route}"
            );
            let of = |method: &str| seconds.with_label_values(&[method, route.as_str()]).get_sample_count();
            assert_eq!([of("GET"), of("PUT")], [6 + once_more, 3], "{route}");
        }
    }
}
