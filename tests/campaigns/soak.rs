//! Load for a long time: memory, open files and disk do not grow.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::check::{Finding, Kind};
use crate::load::{Crew, NoNotes};
use crate::process::Site;
use crate::rng::Rng;
use crate::{Campaign, Report};

/// How often it is looked, at most.
const LOOKS: u64 = 30;

/// Shorter than this, in seconds, nothing has settled and nothing can be said.
const SHORTEST: u64 = 60;

/// So many events of the audit log are kept: more come in the time of the shortest.
const EVENTS: &str = "2000";

/// What must not grow: its name, where it is found, and by how much it may move.
type Kept = (&'static str, fn(&Look) -> u64, u64);

/// What a running server takes.
struct Look {
    memory_kib: u64,
    files: u64,
    disk_kib: u64,
}

impl Look {
    fn at(pid: u32, data: &Path) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
        Self {
            memory_kib: memory.unwrap_or_default(),
            files,
            disk_kib: disk_kib(data),
        }
    }
}

/// The blocks that the files below it take.
fn disk_kib(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk_kib(&entry.path()),
            Ok(found) => std::os::unix::fs::MetadataExt::blocks(&found) / 2,
            // Gone since it was listed.
            Err(_) => 0,
        })
        .sum()
}

fn median(looks: &[Look], of: impl Fn(&Look) -> u64) -> u64 {
    let mut values: Vec<_> = looks.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// So many seconds of it.
pub(crate) fn run(campaign: &Campaign) -> Report {
    let home = campaign.home();
    let site = Site::new(home.path(), &campaign.store)
        .with("SHILD_AUDIT__MAX_EVENTS", EVENTS)
        // The filters of the throttle and the caches are bounded, and full soon.
        .with("SHILD_VERIFIED_TOKENS", "1000")
        .with("SHILD_CACHE_CAPACITY", "4MiB");
    let mut rng = Rng::new(campaign.seed);
    let mut crew = Crew::new(&mut rng);
    let mut report = Report::default();
    let server = match site.start() {
        Ok(server) => server,
        Err(refusal) => {
            report.found(campaign, 0, refusal.finding());
            return report.summed("no start");
        }
    };
    let mut looks = Vec::new();
    let times = campaign.size.clamp(3, LOOKS);
    let mut acknowledged = 0;
    for look in 0..times {
        let pause = Duration::from_secs(campaign.size) / u32::try_from(times).expect("it is small");
        let done = crew.work_while(&server, &NoNotes, || thread::sleep(pause));
        acknowledged += done.acknowledged;
        let findings = done.findings.into_iter().chain(crew.check(&server, 20));
        for finding in findings {
            report.found(campaign, look, finding);
        }
        looks.push(Look::at(server.pid(), &site.data()));
    }
    if let Some(finding) = site.verify() {
        report.found(campaign, LOOKS, finding);
    }
    if server.stop() != Some(0) {
        let text = "the server did not end well".to_owned();
        report.found(
            campaign,
            LOOKS,
            Finding {
                kind: Kind::Strange,
                text,
            },
        );
    }

    let third = looks.len() / 3;
    let (middle, last) = (&looks[third..2 * third], &looks[2 * third..]);
    let mut shown = Vec::new();
    let kinds: [Kept; 3] = [
        ("KiB of memory", |look| look.memory_kib, 4096),
        ("open files", |look| look.files, 4),
        ("KiB of disk", |look| look.disk_kib, 4096),
    ];
    for (what, of, slack) in kinds {
        let (before, after) = (median(middle, of), median(last, of));
        shown.push(format!("{before} → {after} {what}"));
        if campaign.size >= SHORTEST && after > before + before / 10 + slack {
            let text = format!("from {before} to {after} {what}");
            report.found(
                campaign,
                LOOKS,
                Finding {
                    kind: Kind::Growth,
                    text,
                },
            );
        }
    }
    report.summed(&format!(
        "{} s of load, {acknowledged} acknowledged changes; second third → last third: {}",
        campaign.size,
        shown.join(", ")
    ))
}
