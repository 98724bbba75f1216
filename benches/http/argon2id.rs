//! Threads that do nothing but hash, one on each core, each in memory that is kept.

use std::hint::black_box;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use shild::password::Argon2Settings;

use crate::PASSWORD;

/// The memory of each thread, made at the first round.
static MEMORIES: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// At the default settings, for about this long.
pub(crate) fn hashes_per_second(round: Duration) -> f64 {
    let settings = Argon2Settings::default();
    let params = Params::new(settings.memory_kib, settings.iterations, settings.lanes, None);
    let argon2 = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        params.expect("the defaults are sound"),
    );
    let cores = thread::available_parallelism()
        .expect("the number of cores is known")
        .get();
    let mut memories = MEMORIES.lock().expect("no round panics");
    memories.resize_with(cores, || vec![Block::new(); argon2.params().block_count()]);

    let start = Instant::now();
    let hash_until_the_end = |memory: &mut Vec<Block>| {
        let mut hashes = 0_u32;
        while start.elapsed() < round {
            let mut tag = [0; 32];
            argon2
                .hash_password_into_with_memory(
                    PASSWORD.as_bytes(),
                    b"sixteen byte s.t",
                    &mut tag,
                    memory.as_mut_slice(),
                )
                .expect("the settings are sound");
            black_box(tag);
            hashes += 1;
        }
        f64::from(hashes) / start.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = memories
            .iter_mut()
            .map(|memory| scope.spawn(|| hash_until_the_end(memory)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .sum()
    })
}
