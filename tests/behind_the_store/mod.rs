//! A sled store's database, opened behind the store's back.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long sled's own threads may hold its lock after the store was dropped.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn open(dir: &Path) -> ::sled::Db {
    let start = Instant::now();
    loop {
        let config = ::sled::Config::new().path(dir.join("sled")).flush_every_ms(None);
        match config.open() {
            Ok(db) => return db,
            Err(error) => assert!(
                error.to_string().contains("lock") && start.elapsed() < PATIENCE,
                "{error}"
            ),
        }
        thread::yield_now();
    }
}

/// The trees, in the order of the bytes that their records lie behind.
const TREES: [&str; 9] = [
    "users",
    "usernames",
    "skeletons",
    "sessions",
    "failures",
    "keys",
    "audit",
    "guesses",
    "meta",
];

/// Where a record lies.
pub(crate) fn place(tree: &str, key: &[u8]) -> Vec<u8> {
    let tag = TREES
        .iter()
        .position(|name| *name == tree)
        .expect("there is such a tree");
    let tag = u8::try_from(tag).expect("there are nine");
    [&[tag], key].concat()
}
