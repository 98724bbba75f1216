//! What does checking a password cost, and how near does the pool come to bare Argon2id on the same cores?
//!
//! Everything runs at the default settings. The last line printed is the ratio of sign-ins a second through
//! `Hasher` to hashes a second of a bare loop on as many threads, the two measured in turns.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use argon2::{Argon2, Block};
use criterion::{Criterion, Throughput};
use shild::password::{Argon2Settings, Hasher, Password, PasswordHash, PasswordPolicy, Verdict};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PASSWORD: &str = "violet gravel monsoon";
const SALT: [u8; 16] = *b"sixteen byte s.t";

/// Hashes in one round, per thread.
const ROUND: usize = 8;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    one_hash(&mut criterion);
    judging(&mut criterion);

    let threads = thread::available_parallelism()
        .expect("the number of cores is known")
        .get();
    let runtime = Runtime::new().expect("a runtime starts");
    let pool = Pool::start(&runtime, threads);
    let mut bare = BareLoop::new(threads);
    let mut group = criterion.benchmark_group("all_cores");
    group.throughput(Throughput::Elements((threads * ROUND) as u64));
    group.bench_function("bare_loop", |bencher| bencher.iter(|| bare.hash_all()));
    group.bench_function("hasher", |bencher| bencher.iter(|| pool.verify_all(&runtime, threads)));
    group.finish();
    criterion.final_summary();

    ratio(|| bare.hash_all(), || pool.verify_all(&runtime, threads));
}

/// One hash on one thread: in fresh memory as `hash_password_into` takes it, and in memory that is kept.
fn one_hash(criterion: &mut Criterion) {
    let argon2 = bare_argon2();
    let mut group = criterion.benchmark_group("one_hash");
    group.bench_function("fresh_memory", |bencher| {
        bencher.iter(|| {
            let mut tag = [0; 32];
            argon2
                .hash_password_into(PASSWORD.as_bytes(), &SALT, &mut tag)
                .expect("the settings are sound");
            tag
        });
    });
    let mut blocks = vec![Block::new(); argon2.params().block_count()];
    group.bench_function("kept_memory", |bencher| {
        bencher.iter(|| bare_hash(&argon2, &mut blocks));
    });
    group.finish();
}

/// The check of strength: of an ordinary password, and of the worst known ones.
fn judging(criterion: &mut Criterion) {
    let policy = PasswordPolicy::default();
    let mut group = criterion.benchmark_group("check_strength");
    for (name, raw) in [
        ("ordinary", PASSWORD.to_owned()),
        ("digits_128", "1234567890".repeat(13)[..128].to_owned()),
        ("repeated_128", "a".repeat(128)),
        ("leet_128", "4@8({[<369!1|70$5+7%2".repeat(7)[..128].to_owned()),
    ] {
        let password = Password::parse(&raw).expect("no control characters");
        group.bench_function(name, |bencher| {
            bencher.iter(|| policy.check(black_box(&password), &["juliet@example.com", "shild"]));
        });
    }
    group.finish();
}

fn bare_argon2() -> Argon2<'static> {
    let Argon2Settings {
        memory_kib,
        iterations,
        lanes,
    } = Argon2Settings::default();
    let params = argon2::Params::new(memory_kib, iterations, lanes, None).expect("the defaults are sound");
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
}

fn bare_hash(argon2: &Argon2<'_>, blocks: &mut [Block]) -> [u8; 32] {
    let mut tag = [0; 32];
    argon2
        .hash_password_into_with_memory(black_box(PASSWORD.as_bytes()), &SALT, &mut tag, blocks)
        .expect("the settings are sound");
    tag
}

/// Threads that do nothing but hash, each in memory that is kept from round to round.
struct BareLoop {
    argon2: Argon2<'static>,
    memories: Vec<Vec<Block>>,
}

impl BareLoop {
    fn new(threads: usize) -> Self {
        let argon2 = bare_argon2();
        let memories = vec![vec![Block::new(); argon2.params().block_count()]; threads];
        Self { argon2, memories }
    }

    /// One round; the seconds it took.
    fn hash_all(&mut self) -> f64 {
        let start = Instant::now();
        thread::scope(|scope| {
            for blocks in &mut self.memories {
                let argon2 = &self.argon2;
                scope.spawn(move || {
                    for _ in 0..ROUND {
                        black_box(bare_hash(argon2, blocks));
                    }
                });
            }
        });
        start.elapsed().as_secs_f64()
    }
}

/// A hasher with a stored hash to verify against.
struct Pool {
    hasher: Arc<Hasher>,
    stored: PasswordHash,
}

impl Pool {
    fn start(runtime: &Runtime, threads: usize) -> Self {
        let hasher = Hasher::new(Argon2Settings::default(), None, threads * ROUND).expect("threads start");
        let password = Password::parse(PASSWORD).expect("no control characters");
        let stored = runtime.block_on(hasher.hash(password, SALT)).expect("the pool is idle");
        Self {
            hasher: Arc::new(hasher),
            stored,
        }
    }

    /// As many verifications as a round of [`BareLoop`] has hashes, all asked for at once; the seconds it took.
    fn verify_all(&self, runtime: &Runtime, threads: usize) -> f64 {
        let start = Instant::now();
        runtime.block_on(async {
            let mut sign_ins = JoinSet::new();
            for _ in 0..threads * ROUND {
                let hasher = Arc::clone(&self.hasher);
                let password = Password::parse(PASSWORD).expect("no control characters");
                let stored = self.stored.clone();
                sign_ins.spawn(async move { hasher.verify(password, Some(stored)).await });
            }
            while let Some(verdict) = sign_ins.join_next().await {
                assert_eq!(verdict.expect("no task panics"), Ok(Verdict::Right));
            }
        });
        start.elapsed().as_secs_f64()
    }
}

/// Prints the median of the ratios of 15 pairs of rounds: in turns, so that a machine that is slow for a while is slow
/// for both.
fn ratio(mut bare: impl FnMut() -> f64, mut pool: impl FnMut() -> f64) {
    let mut ratios: Vec<f64> = (0..15).map(|_| bare() / pool()).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "sign-ins/s through the pool to bare argon2 hashes/s: {:.3} (lowest {:.3}, highest {:.3})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}
