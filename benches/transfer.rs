//! How long does it take to export and to verify a store of a million users, and in how much memory?
//!
//! `cargo bench --bench transfer [-- USERS]`. The program itself does it, as a process of its own, on a store that is made
//! before; its peak memory is asked of Linux, and is not known elsewhere.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use shild::clock::Timestamp;
use shild::password::PasswordHash;
use shild::store::conformance::block_on;
use shild::store::sled::SledOptions;
use shild::store::{SledStore, Store as _, UserStore as _};
use shild::user::{Scopes, UserId, UserRecord, Username};
use tokio::task::JoinSet;

/// As many users as the writer of the store takes into one transaction.
const BATCH: u64 = 512;

fn main() {
    let users = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a directory can be made");
    let began = Instant::now();
    block_on(fill(&dir.path().join("data"), users));
    println!(
        "a store of {users} users was made in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for args in [&["export", "users.ndjson"][..], &["verify"]] {
        let began = Instant::now();
        let mut child = shild(dir.path()).args(args).spawn().expect("the program starts");
        let peak = watch(&mut child);
        println!(
            "{:6} {:5.1} s  {peak:4} MiB at most, with the opening of the store",
            args[0],
            began.elapsed().as_secs_f64()
        );
    }
    let size = fs::metadata(dir.path().join("users.ndjson")).map_or(0, |file| file.len());
    println!("the export has {} MiB", size >> 20);
}

/// Ids in order, as UUIDv7 gives them; a hash as long as the real ones.
fn user(number: u64) -> UserRecord {
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2E$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    let now = Timestamp::from_millis(1_700_000_000_123);
    UserRecord {
        id: UserId::from_bytes(u128::from(number).to_be_bytes()),
        username: Username::parse(&format!("user{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)), 64)
            .expect("a good name"),
        password_hash: Some(PasswordHash::parse(hash).expect("a good hash")),
        scopes: Scopes::registered(),
        disabled: false,
        created_at: now,
        updated_at: now,
        version: 1,
        session_epoch: 0,
        reset: None,
        kept_session: None,
    }
}

async fn fill(dir: &Path, users: u64) {
    let store = Arc::new(SledStore::open(dir, SledOptions::default()).expect("a new store opens"));
    let mut first = 0;
    while first < users {
        let mut calls = JoinSet::new();
        for number in first..users.min(first + BATCH) {
            let store = Arc::clone(&store);
            calls.spawn(async move { store.create(&user(number)).await });
        }
        let created: Result<Vec<()>, _> = calls.join_all().await.into_iter().collect();
        created.expect("the users are created");
        first += BATCH;
    }
    store.close().await.expect("the store closes");
}

fn shild(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shild"));
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

/// The most memory that the process had at any time, in MiB, once it has ended.
fn watch(child: &mut Child) -> u64 {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            assert!(status.success(), "{status}");
            return peak >> 10;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = kib.unwrap_or(peak);
        thread::sleep(Duration::from_millis(10));
    }
}
