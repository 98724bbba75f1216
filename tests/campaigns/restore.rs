//! The store is lost while snapshots were taken under load: a start must be refused, and what `shild restore` brings back must
//! be everything as it was at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::check::{Finding, Kind};
use crate::load::{Crew, Noted, Notes, Worker};
use crate::process::Site;
use crate::rng::Rng;
use crate::world::{Users, World};
use crate::{Campaign, Report};

/// What is left of the data: a snapshot is of no use without the key.
const KEPT: [&str; 2] = ["snapshots", "master.key"];

/// Whether this shild can bring anything back.
pub(crate) fn can_restore() -> bool {
    let dir = tempfile::tempdir().expect("a directory can be made");
    Site::new(dir.path(), "sled").run(&["restore", "--help"]).is_ok()
}

/// Notes taken one after the other.
#[derive(Default)]
struct Counter(AtomicU64);

impl Notes for Counter {
    fn note(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

pub(crate) fn run(campaign: &Campaign) -> Report {
    let mut rng = Rng::new(campaign.seed);
    let mut report = Report::default();
    let mut acknowledged = 0;
    for at in 0..campaign.size {
        let home = campaign.home();
        let site = Site::new(home.path(), &campaign.store).with("SHILD_SNAPSHOT_INTERVAL", "1s");
        match once(&site, &mut rng, &mut report) {
            Ok(changes) => acknowledged += changes,
            Err(finding) => report.found(campaign, at, finding),
        }
    }
    report.summed(&format!(
        "{} stores lost under load and restored, with {acknowledged} acknowledged changes before the snapshots",
        campaign.size
    ))
}

fn once(site: &Site, rng: &mut Rng, report: &mut Report) -> Result<u64, Finding> {
    let found = |kind, text: String| Finding { kind, text };
    let mut crew = Crew::new(rng);
    crew.0.iter_mut().for_each(|worker| worker.remembers = true);
    let server = site.start().map_err(|refusal| refusal.finding())?;
    let pause = Duration::from_millis(1500 + rng.below(2500));
    let done = crew.work_while(&server, &Counter::default(), || thread::sleep(pause));
    if let Some(finding) = done.findings.into_iter().next() {
        return Err(finding);
    }
    server.kill();
    drop(server);
    if snapshots(&site.data()) == 0 {
        return Err(found(Kind::Strange, format!("no snapshot in {pause:?}")));
    }
    lose(&site.data());
    match site.start() {
        Ok(_) => {
            return Err(found(
                Kind::Lost,
                "a lost store was silently replaced by an empty one".to_owned(),
            ));
        }
        Err(refusal) if !refusal.line().contains("shild restore") => {
            let text = format!("the start does not say what to do: {}", refusal.line());
            return Err(found(Kind::Strange, text));
        }
        Err(_) => {}
    }
    site.run(&["restore"])
        .map_err(|refusal| found(Kind::Unopened, format!("shild restore: {}", refusal.line())))?;
    let export = site
        .run(&["export", "--sessions", "-"])
        .map_err(|refusal| found(Kind::Unopened, format!("after shild restore: {}", refusal.line())))?;
    let exported = parse(&export);
    let mut then = moment(&crew, &exported, rng)?;
    report.outcome("stores as they were at one moment");
    let server = site.start().map_err(|refusal| refusal.finding())?;
    if let Some(mut finding) = then.0.check(&server, 1).into_iter().next() {
        finding.text = format!("after shild restore: {}", finding.text);
        return Err(finding);
    }
    site.verify().map_or(Ok(then.1), Err)
}

fn snapshots(data: &Path) -> usize {
    fs::read_dir(data.join("snapshots")).map_or(0, Iterator::count)
}

/// Removes all but what is left.
fn lose(data: &Path) {
    for entry in fs::read_dir(data).expect("the data is there") {
        let entry = entry.expect("the data can be listed");
        if KEPT.iter().any(|kept| entry.file_name() == *kept) {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.expect("it can be removed");
    }
}

fn parse(export: &str) -> Users {
    let mut users = Users::new();
    let mut epochs = BTreeMap::new();
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).expect("an export is JSON");
        let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
        let number = |member: &str| line[member].as_u64().unwrap_or_default();
        match line["kind"].as_str() {
            Some("user") => {
                let epoch = number("session_epoch");
                let kept = &line["kept_session"];
                let kept =
                    (kept["epoch"].as_u64() == Some(epoch)).then(|| kept["id"].as_str().unwrap_or_default().to_owned());
                epochs.insert(text("id"), (epoch, kept));
                users.insert(text("id"), (text("username"), number("version"), BTreeMap::new()));
            }
            Some("session") => {
                let alive = epochs
                    .get(&text("user_id"))
                    .is_some_and(|(epoch, kept)| number("epoch") == *epoch || kept.as_ref() == Some(&text("id")));
                if let Some((_, _, sessions)) = users.get_mut(&text("user_id")).filter(|_| alive) {
                    sessions.insert(text("id"), number("generation"));
                }
            }
            _ => {}
        }
    }
    users
}

/// The workers as they were at the moment of the snapshot, and how many changes they knew of: each after so many steps of its
/// history, and no step of one that had ended before another that is there had begun is missing.
fn moment(crew: &Crew, exported: &Users, rng: &mut Rng) -> Result<(Crew, u64), Finding> {
    let half = |text: String| Finding { kind: Kind::Half, text };
    let mut then = Crew::of(0, rng);
    let (mut last_begun, mut first_missed, mut acknowledged) = (0, u64::MAX, 0);
    let mut known = BTreeSet::new();
    for worker in &crew.0 {
        let number = worker.number;
        let found = prefix(&worker.history, number, exported, &mut known);
        let Some((least, most, world)) = found else {
            return Err(half(format!(
                "what was restored is nothing that worker {number} ever had"
            )));
        };
        let there = worker.history[..least].last();
        last_begun = there.map_or(last_begun, |noted| last_begun.max(noted.begun));
        let ended = worker.history.get(most).and_then(|noted| noted.acknowledged.as_ref());
        first_missed = ended.map_or(first_missed, |(noted, _)| first_missed.min(*noted));
        acknowledged += most as u64;
        then.0.push(Worker::with(number, world, rng.fork()));
    }
    if let Some(id) = exported.keys().find(|id| !known.contains(*id)) {
        return Err(half(format!("user {id} is nobody's")));
    }
    if last_begun > first_missed {
        return Err(half(
            "a change is there, and one that ended before it began is not".to_owned(),
        ));
    }
    Ok((then, acknowledged))
}

/// After how many of its steps, at least and at most, a worker's accounts were those of the export, and what it knew after the
/// most: steps can cancel each other out, as a sign-in and the end of that session. Its users are put to `known`.
fn prefix(
    history: &[Noted],
    worker: usize,
    exported: &Users,
    known: &mut BTreeSet<String>,
) -> Option<(usize, usize, World)> {
    let mut ids = BTreeSet::new();
    for noted in history {
        let id = noted
            .acknowledged
            .as_ref()
            .and_then(|(_, answer)| answer["id"].as_str());
        ids.extend(id.map(str::to_owned));
    }
    let own: Users = exported
        .iter()
        .filter(|(id, _)| ids.contains(*id))
        .map(|(id, user)| (id.clone(), user.clone()))
        .collect();
    known.extend(ids);
    let mut world = World::new(worker);
    let mut found: Option<(usize, usize, World)> = None;
    for steps in 0..=history.len() {
        if world.users() == own {
            let least = found.map_or(steps, |(least, ..)| least);
            found = Some((least, steps, world.clone()));
        }
        let Some(Noted {
            step,
            acknowledged: Some((_, answer)),
            ..
        }) = history.get(steps)
        else {
            break;
        };
        world.begin(step);
        world.acknowledged(step, answer);
    }
    found
}
