//! The power fails: a trace of everything that a server under load did to its files is cut somewhere, and the real binary
//! started on what a disk would have kept of it.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::check::{Finding, Kind};
use crate::load::{Crew, Noted, Worker};
use crate::process::Site;
use crate::rng::Rng;
use crate::shim::Recorder;
use crate::trace::{Loss, Trace};
use crate::world::World;
use crate::{Campaign, Report};

/// Connections, and images of one trace.
const WORKERS: usize = 8;
const IMAGES: u64 = 20;

/// Only what was synced is kept.
pub(crate) fn strict(campaign: &Campaign) -> Report {
    run(campaign, false)
}

/// Of the rest, each page is kept or not.
pub(crate) fn random(campaign: &Campaign) -> Report {
    run(campaign, true)
}

fn run(campaign: &Campaign, random: bool) -> Report {
    let mut rng = Rng::new(campaign.seed);
    let mut report = Report::default();
    let (mut images, mut acknowledged, mut torn) = (0, 0, 0);
    while images < campaign.size {
        let home = campaign.home();
        let site = Site::new(home.path(), &campaign.store);
        let (crew, trace) = match record(&site, &mut rng) {
            Ok(recorded) => recorded,
            // A kill may fall between a write and the note of it; not three times in a row.
            Err(Unrecorded::Torn(_)) if torn < 2 => {
                torn += 1;
                continue;
            }
            Err(Unrecorded::Torn(finding) | Unrecorded::For(finding)) => {
                report.found(campaign, images, finding);
                break;
            }
        };
        torn = 0;
        for _ in 0..IMAGES.min(campaign.size - images) {
            let cut = trace.cut(&mut rng);
            let loss = if random { Loss::Random(&mut rng) } else { Loss::Strict };
            let data = site.data();
            fs::remove_dir_all(&data).expect("the image of before can be removed");
            trace.image(cut, loss).write(&data).expect("an image can be written");
            let mut then = as_of(&crew, trace.notes_before(cut), &mut rng);
            acknowledged += then.1;
            for mut finding in examine(&site, &mut then.0) {
                finding.text = format!("cut before event {cut} of {}: {}", trace.len(), finding.text);
                report.found(campaign, images, finding);
            }
            images += 1;
        }
    }
    report.summed(&format!(
        "{images} images, {acknowledged} changes acknowledged before their cuts"
    ))
}

/// Why there is no trace to go by.
enum Unrecorded {
    /// It is not whole, and the server was killed.
    Torn(Finding),
    For(Finding),
}

impl From<Finding> for Unrecorded {
    fn from(finding: Finding) -> Self {
        Self::For(finding)
    }
}

/// The workers with their histories, and the trace, of two lives of a server with a kill between them.
fn record(site: &Site, rng: &mut Rng) -> Result<(Crew, Trace), Unrecorded> {
    let strange = |text: String| Finding {
        kind: Kind::Strange,
        text,
    };
    let (watched, recorder) = Recorder::of(site.clone());
    let mut crew = Crew::of(WORKERS, rng);
    crew.0.iter_mut().for_each(|worker| worker.remembers = true);
    let mut killed = false;
    for _ in 0..2 {
        let server = watched.start().map_err(|refusal| refusal.finding())?;
        let pause = Duration::from_millis(300 + rng.below(900));
        let kills = rng.once_in(2);
        let done = crew.work_while(&server, &recorder, || {
            thread::sleep(pause);
            if kills {
                server.kill();
            }
        });
        if let Some(finding) = done.findings.into_iter().next() {
            return Err(finding.into());
        }
        killed |= kills;
        if !kills {
            server.stop();
        }
    }
    let trace = Trace::read(&recorder.trace).map_err(|error| strange(error.to_string()))?;
    let differs = trace.image(trace.len(), Loss::None).differs(&site.data());
    match differs.map_err(|error| strange(error.to_string()))? {
        None => Ok((crew, trace)),
        Some(path) => {
            let finding = strange(format!("the trace is not whole: it has another {}", path.display()));
            Err(if killed {
                Unrecorded::Torn(finding)
            } else {
                finding.into()
            })
        }
    }
}

/// The workers as they were when so many notes had been taken, and how many changes they knew of.
fn as_of(crew: &Crew, notes: u64, rng: &mut Rng) -> (Crew, u64) {
    let mut acknowledged = 0;
    let mut then = Crew::of(0, rng);
    for worker in &crew.0 {
        let mut world = World::new(worker.number);
        for Noted {
            step,
            begun,
            acknowledged: answer,
        } in &worker.history
        {
            if *begun >= notes {
                break;
            }
            world.begin(step);
            if let Some((_, body)) = answer.as_ref().filter(|(noted, _)| *noted < notes) {
                world.acknowledged(step, body);
                acknowledged += 1;
            }
        }
        then.0.push(Worker::with(worker.number, world, rng.fork()));
    }
    (then, acknowledged)
}

/// Starts the server on an image and looks at everything.
fn examine(site: &Site, crew: &mut Crew) -> Vec<Finding> {
    let server = match site.start() {
        Ok(server) => server,
        Err(refusal) => return vec![refusal.finding()],
    };
    let mut findings = crew.check(&server, 1);
    findings.extend(site.verify());
    findings
}
