//! Whether the system lets this process have more threads: for those who wait for ever, or panic, where they are refused one.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// Tries to have so many more threads, all at once. They are gone when this returns, as far as that can be seen: one that has
/// ended still counts for a moment.
///
/// # Errors
/// What the system says against it.
pub fn can_have(count: usize) -> io::Result<()> {
    could_have(count, counted)
}

fn could_have(count: usize, mut counted: impl FnMut() -> Option<u64>) -> io::Result<()> {
    let before = counted();
    let all_started = Mutex::new(());
    thread::scope(|scope| {
        let _not_yet = all_started.lock();
        (0..count).try_for_each(|_| {
            let waiting = thread::Builder::new().spawn_scoped(scope, || drop(all_started.lock()));
            waiting.map(drop)
        })
    })?;
    for _ in 0..50 {
        if counted() <= before {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The threads that count for this process at present, where that can be told.
fn counted() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_a_start_needs_can_be_had() {
        can_have(0).unwrap();
        can_have(16).unwrap();
        #[cfg(target_os = "linux")]
        assert!(counted() >= Some(1));
    }

    #[test]
    fn they_are_gone_before_others_are_started() {
        // Others of the same process may have ended meanwhile.
        for (at_last, asked) in [(Some(3), 5), (Some(2), 5), (None, 5)] {
            let mut counts = [Some(3), Some(19), Some(5), Some(4), at_last].into_iter();
            let mut times = 0;
            could_have(16, || {
                times += 1;
                counts.next().expect("not asked once it is known")
            })
            .unwrap();
            assert_eq!(times, asked, "{at_last:?}");
        }
        // They may have been taken up by others.
        could_have(1, {
            let mut more = 3..;
            move || more.next()
        })
        .unwrap();
    }
}
