//! What a guest has to say stands in the log of the application. A test of its own process, which has one log.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use rocket::Config;
use rocket::error::ErrorKind;

/// An application's log.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut lines = self.0.lock().expect("nobody panics with it");
        lines.push(format!("{}: {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

#[rocket::async_test]
async fn what_stops_a_launch_is_said_in_the_application_s_own_log() {
    log::set_logger(&LINES).expect("it is the first");
    log::set_max_level(LevelFilter::Warn);
    let figment = Config::figment().merge(("shild.store", "paper"));
    let failed = rocket::custom(figment).attach(shild::stage()).ignite().await;
    let failed = failed.expect_err("there is no such store");
    assert!(matches!(failed.kind(), ErrorKind::FailedFairings(_)), "{failed}");
    let lines = LINES.0.lock().expect("nobody panics with it");
    let said = |line: &String| line.starts_with("ERROR") && line.contains("store = \"paper\"");
    assert!(lines.iter().any(said), "{lines:?}");
}
