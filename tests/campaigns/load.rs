//! Workers that change accounts over HTTP, as fast as they are answered, and know what they were told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::check::{Finding, Kind, check};
use crate::http::Connection;
use crate::process::Running;
use crate::rng::Rng;
use crate::world::{Step, World};

/// Connections at once.
pub(crate) const WORKERS: usize = 16;

/// Where it is noted when a change was asked for, and when it was acknowledged.
pub(crate) trait Notes: Sync {
    /// A number that is greater for what was noted later.
    fn note(&self) -> u64;
}

/// Notes nothing.
pub(crate) struct NoNotes;

impl Notes for NoNotes {
    fn note(&self) -> u64 {
        0
    }
}

/// A change in a worker's history.
pub(crate) struct Noted {
    pub(crate) step: Step,
    pub(crate) begun: u64,
    /// When it was acknowledged, and with what answer.
    pub(crate) acknowledged: Option<(u64, Value)>,
}

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) world: World,
    rng: Rng,
    /// All that it did since the history was last emptied.
    pub(crate) history: Vec<Noted>,
    /// Whether the history is kept.
    pub(crate) remembers: bool,
}

/// What came of some work.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) acknowledged: u64,
    /// Answered with 503.
    pub(crate) unavailable: u64,
    /// Broken off.
    pub(crate) unanswered: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unavailable += other.unavailable;
        self.unanswered += other.unanswered;
        self.findings.extend(other.findings);
    }
}

impl Worker {
    pub(crate) fn with(number: usize, world: World, rng: Rng) -> Self {
        Self {
            number,
            world,
            rng,
            history: Vec::new(),
            remembers: false,
        }
    }

    /// Works until it is told to stop, or nobody answers any more.
    fn work(&mut self, address: SocketAddr, stop: &AtomicBool, notes: &dyn Notes) -> Done {
        let mut connection = Connection::to(address);
        let mut done = Done::default();
        while !stop.load(Ordering::Relaxed) {
            let step = self.world.next(&mut self.rng);
            self.world.begin(&step);
            let begun = if self.remembers { notes.note() } else { 0 };
            let answer = connection.ask(&self.world.request(&step));
            let mut acknowledged = None;
            let mut ends = false;
            match answer {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    let noted = if self.remembers { notes.note() } else { 0 };
                    self.world.acknowledged(&step, &answer.body);
                    done.acknowledged += 1;
                    acknowledged = Some((noted, answer.body));
                }
                Ok(answer) if answer.status == 503 => {
                    done.unavailable += 1;
                    // Whoever is told so does not ask again at once.
                    thread::sleep(std::time::Duration::from_millis(5));
                }
                Ok(answer) => {
                    done.findings.push(Finding {
                        kind: Kind::Strange,
                        text: format!("{step:?} was answered with {} {}", answer.status, answer.body),
                    });
                    ends = true;
                }
                Err(error) => {
                    done.unanswered += 1;
                    if error.kind() == std::io::ErrorKind::WouldBlock {
                        done.findings.push(Finding {
                            kind: Kind::Hang,
                            text: format!("{step:?} was not answered"),
                        });
                    }
                    ends = true;
                }
            }
            if self.remembers {
                self.history.push(Noted {
                    step,
                    begun,
                    acknowledged,
                });
            }
            if ends {
                break;
            }
        }
        done
    }
}

/// All workers.
pub(crate) struct Crew(pub(crate) Vec<Worker>);

impl Crew {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self::of(WORKERS, rng)
    }

    pub(crate) fn of(workers: usize, rng: &mut Rng) -> Self {
        let worker = |number| Worker::with(number, World::new(number), rng.fork());
        Self((0..workers).map(worker).collect())
    }

    /// The same knowledge once more.
    pub(crate) fn again(&self, rng: &mut Rng) -> Self {
        let worker = |worker: &Worker| Worker::with(worker.number, worker.world.clone(), rng.fork());
        Self(self.0.iter().map(worker).collect())
    }

    /// Each worker on a thread of its own does this.
    fn each<R: Send>(&mut self, act: impl Fn(&mut Worker) -> R + Sync) -> Vec<R> {
        thread::scope(|scope| {
            let act = &act;
            let threads: Vec<_> = self
                .0
                .iter_mut()
                .map(|worker| scope.spawn(move || act(worker)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a worker does not panic"))
                .collect()
        })
    }

    /// Works until `lead`, which runs meanwhile, is done.
    pub(crate) fn work_while(&mut self, server: &Running, notes: &dyn Notes, lead: impl FnOnce()) -> Done {
        let stop = AtomicBool::new(false);
        let address = server.address;
        thread::scope(|scope| {
            let crew = scope.spawn(|| self.each(|worker| worker.work(address, &stop, notes)));
            lead();
            stop.store(true, Ordering::Relaxed);
            let mut all = Done::default();
            for done in crew.join().expect("the crew does not panic") {
                all.add(done);
            }
            all
        })
    }

    /// Holds every account that was changed since it was last looked at, and one of `others` of the rest, against what the
    /// server says. What was in doubt is known afterwards.
    pub(crate) fn check(&mut self, server: &Running, others: u64) -> Vec<Finding> {
        let address = server.address;
        self.each(|worker| check(&mut Connection::to(address), &mut worker.world, &mut worker.rng, others))
            .into_iter()
            .flatten()
            .collect()
    }
}
