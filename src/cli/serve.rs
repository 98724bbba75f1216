//! `shild serve`

use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, panic, process};

use rocket::fairing::AdHoc;
use shild::config::{Settings, Sources, listen_address, rocket_figment, workers};
use shild::server::{self, Patience};
use shild::{Shild, log, threads};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Failure, memory};

/// How often memory is given back that was freed.
const GIVE_BACK: Duration = Duration::from_secs(10);

/// Runs the server until it is told to end.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let figment = rocket_figment(sources)?;
    let settings = Settings::from_figment(&figment)?;
    let address = listen_address(&figment)?;
    let workers = workers(&figment)?;
    // One for each that answers requests; all others share these.
    memory::limit_heaps(workers.max(2));
    // Dropped last: it writes the lines that still wait.
    let _log = log::init(settings.log, settings.log_level)?;
    for warning in settings.warnings(address) {
        tracing::warn!("{warning}");
    }
    let connections = server::raise_descriptor_limit();
    let patience = Patience {
        request: settings.request_timeout.duration(),
        idle: settings.idle_timeout.duration(),
    };
    runtime_of(workers)?.block_on(async {
        let told_to_end = told_to_end()?;
        let shild = Shild::builder(settings)
            .hash_memory(memory::in_huge_pages)
            .build()
            .await?;
        let listener = server::listen(address)
            .map_err(|cause| format!("cannot listen on {address}: {cause}; choose another with --address or --port"))?;
        // Port 0 stands for any.
        let figment = figment.merge(("port", listener.local_addr()?.port()));
        let rocket = rocket::custom(figment)
            .attach(shild.clone().whole_stage())
            .attach(AdHoc::on_liftoff("memory of the start", |_| {
                Box::pin(async { memory::give_back() })
            }));
        tokio::spawn(each(GIVE_BACK, memory::give_back_freed));
        let at = listener.local_addr()?;
        let ready = move || {
            // Whoever does not read it gets on without.
            let _ = writeln!(
                io::stdout(),
                "shild listens on http://{at}; documentation at http://{at}/docs"
            );
        };
        let ended = server::serve(listener, rocket, connections, patience, ready, told_to_end).await;
        shild.close().await?;
        match ended {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::warn!("some requests were not answered in time before the end");
                Ok(())
            }
            Err(error) => Err(format!("cannot start: {}", error.kind()).into()),
        }
    })
}

/// Does this again and again, where it holds up nobody.
async fn each(period: Duration, work: impl Fn() + Clone + Send + 'static) {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // An error means that the runtime ends.
        let _ = tokio::task::spawn_blocking(work.clone()).await;
    }
}

/// A runtime with so many threads that answer requests, each of which has taken memory before anybody but the log can, and one that
/// may block.
fn runtime_of(workers: usize) -> io::Result<Runtime> {
    let refusal = format!("cannot start {workers} threads that answer requests (workers = {workers})");
    threads::can_have(workers + 1).map_err(|cause| io::Error::new(cause.kind(), format!("{refusal}: {cause}")))?;
    // Others may have taken them since. Where tokio is refused one it panics, and then waits for ever for those that it has.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |_| {
        eprintln!("shild: {refusal}: this process may have no more threads");
        process::exit(1);
    }));
    let (started, starts) = mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        // One that may block is always there, then: it has something to do more often than that, and tokio panics where it needs
        // another and is refused one.
        .thread_keep_alive(2 * GIVE_BACK)
        .on_thread_start(move || {
            // The block is what gives the thread its heap. Later on nobody listens.
            let _ = started.send(Box::new(0_u8));
        })
        .enable_all()
        .build()?;
    starts.iter().take(workers).for_each(drop);
    drop(runtime.spawn_blocking(|| ()));
    panic::set_hook(usual);
    Ok(runtime)
}

/// Done when the process is told to end, at any time from this call on: a signal that comes before it is waited for would
/// kill the process.
#[cfg(unix)]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = if keeps_running_without_terminal() {
        None
    } else {
        Some(signal(SignalKind::hangup())?)
    };
    Ok(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hung_up => {}
        }
    })
}

/// Whether whoever started it has it ignore the end of its terminal, as `nohup` does; and where that cannot be told.
#[cfg(unix)]
fn keeps_running_without_terminal() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & HANGUP > 0)
}

/// Done when the process is told to end.
#[cfg(not(unix))]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without it, there is no way to be told.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_each_period_is_done_again() {
        let (done, told) = mpsc::channel();
        let runtime = runtime_of(1).unwrap();
        let start = Instant::now();
        let period = Duration::from_millis(2);
        runtime.spawn(each(period, move || done.send(()).unwrap_or_default()));
        for _ in 0..3 {
            told.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert!(start.elapsed() >= 3 * period);
    }

    #[test]
    fn as_many_threads_answer_as_were_asked_for() {
        for workers in [1, 3] {
            assert_eq!(runtime_of(workers).unwrap().metrics().num_workers(), workers);
        }
    }
}
