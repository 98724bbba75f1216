//! How many registrations a second does a store acknowledge to 64 writers?
//!
//! The bare loop does the least that must be done with sled for the same promise: the same
//! records, 64 to a transaction, flushed and synced. The ratio to it is what the store costs.
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use shild::clock::Timestamp;
use shild::store::conformance::block_on;
use shild::store::sled::SledOptions;
use shild::store::{MemoryStore, SledStore, Store};
use shild::user::{UserId, UserRecord, Username};
use sled::Transactional;
use tokio::task::JoinSet;

const WRITERS: usize = 64;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("store/registrations_64_writers");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(1));

    let dir = tempfile::tempdir().expect("a directory can be made");
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let sled = SledStore::open(&dir.path().join("shild"), SledOptions::default()).expect("a new store opens");
    let sled: Arc<dyn Store> = Arc::new(sled);
    let bare = Bare::open(&dir.path().join("bare"));

    let memory = measure(&mut group, "memory", |users| {
        block_on(register(Arc::clone(&memory), users))
    });
    let sled = measure(&mut group, "sled", |users| block_on(register(Arc::clone(&sled), users)));
    let bare = measure(&mut group, "bare_sled_loop", |users| bare.register(&users));
    group.finish();
    criterion.final_summary();

    println!("acknowledged registrations/s, {WRITERS} writers:");
    println!("  memory {memory:>9.0}");
    println!("  sled   {sled:>9.0}");
    println!("  bare   {bare:>9.0}   sled/bare = {:.2}", sled / bare);
}

/// Registrations a second over everything that criterion ran.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    register: impl Fn(Vec<UserRecord>) -> Duration,
) -> f64 {
    let (registered, taken, next) = (Cell::new(0_u64), Cell::new(Duration::ZERO), Cell::new(0_u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            // A batch of fewer would not be what 64 writers make of it.
            let really = count.max(10 * WRITERS as u64);
            let first = next.replace(next.get() + really);
            let elapsed = register((first..first + really).map(user).collect());
            registered.set(registered.get() + really);
            taken.set(taken.get() + elapsed);
            elapsed.mul_f64(count as f64 / really as f64)
        });
    });
    registered.get() as f64 / taken.get().as_secs_f64()
}

/// Ids in order, as UUIDv7 gives them; a hash as long as the real ones.
fn user(number: u64) -> UserRecord {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2E$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    UserRecord {
        password_hash: Some(serde_json::from_value(hash.into()).expect("a PHC string")),
        ..UserRecord::new(
            UserId::from_bytes(u128::from(number).to_be_bytes()),
            Username::parse(&format!("user{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)), 64)
                .expect("a good name"),
            Timestamp::from_millis(0),
        )
    }
}

/// 64 writers, each of which waits for an answer before it asks again.
async fn register(store: Arc<dyn Store>, users: Vec<UserRecord>) -> Duration {
    let mut shares = vec![Vec::new(); WRITERS];
    for (number, user) in users.into_iter().enumerate() {
        shares[number % WRITERS].push(user);
    }
    let start = Instant::now();
    let mut writers = JoinSet::new();
    for share in shares {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for user in &share {
                store.create(user, &[]).await.expect("the name is free");
            }
        });
    }
    writers.join_all().await;
    start.elapsed()
}

struct Bare {
    db: sled::Db,
    users: sled::Tree,
    names: sled::Tree,
    skeletons: sled::Tree,
    log: File,
}

impl Bare {
    fn open(dir: &std::path::Path) -> Self {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(SledOptions::default().cache_capacity)
            .flush_every_ms(None)
            .open()
            .expect("a new database opens");
        let tree = |name| db.open_tree(name).expect("a new tree opens");
        let (users, names, skeletons) = (tree("users"), tree("names"), tree("skeletons"));
        let log = File::options()
            .write(true)
            .open(dir.join("db"))
            .expect("sled made its file");
        Self {
            db,
            users,
            names,
            skeletons,
            log,
        }
    }

    fn register(&self, users: &[UserRecord]) -> Duration {
        let start = Instant::now();
        for batch in users.chunks(WRITERS) {
            (&self.users, &self.names, &self.skeletons)
                .transaction(|(by_id, by_name, by_skeleton)| {
                    for user in batch {
                        let id = user.id.as_bytes();
                        let record = postcard::to_stdvec(user).expect("plain data can be encoded");
                        by_id.insert(id, record)?;
                        by_name.insert(user.username.as_str(), id)?;
                        by_skeleton.insert(user.username.skeleton().as_str(), id)?;
                    }
                    sled::transaction::ConflictableTransactionResult::<(), ()>::Ok(())
                })
                .expect("the disk takes it");
            self.db.flush().expect("the disk takes it");
            self.log.sync_data().expect("the disk takes it");
        }
        black_box(start.elapsed())
    }
}
