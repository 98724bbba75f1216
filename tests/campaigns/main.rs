//! Campaigns against the promise that what is acknowledged survives: each starts the real binary, harms it, and holds what is
//! left against what its answers said.
//!
//! ```sh
//! cargo test --test campaigns                                    # short: seconds
//! SHILD_CAMPAIGN=long cargo test --test campaigns -- --nocapture # as long as the README's table: an hour
//! SHILD_CAMPAIGN=50 SHILD_CAMPAIGN_SEED=7 cargo test --test campaigns -- kill::sled
//! ```
//!
//! Each prints a row of a table, with the seed that repeats its choices; how threads and processes fall out cannot be repeated.
//! Findings go to standard error. With `SHILD_CAMPAIGN_KEEP` set, what a campaign leaves behind is kept.

mod check;
mod damage;
mod faults;
mod http;
mod kill;
mod load;
mod power;
mod process;
mod restore;
mod rng;
#[path = "../server/mod.rs"]
mod server;
mod shim;
mod soak;
mod trace;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{env, process as os};

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

use crate::check::{Finding, Kind};

/// One run of one of them.
pub(crate) struct Campaign {
    pub(crate) name: &'static str,
    pub(crate) store: String,
    /// Cycles, images, points: whatever it counts.
    pub(crate) size: u64,
    pub(crate) seed: u64,
}

impl Campaign {
    /// A directory of its own.
    pub(crate) fn home(&self) -> TempDir {
        let prefix = format!("shild-{}-{}-", self.name, self.store);
        let mut dir = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir()
            .expect("a directory can be made");
        dir.disable_cleanup(env::var_os("SHILD_CAMPAIGN_KEEP").is_some());
        dir
    }
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    summary: String,
    counts: BTreeMap<Kind, u64>,
    /// What the campaign counts besides findings, in words.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn found(&mut self, campaign: &Campaign, at: u64, finding: Finding) {
        eprintln!("{}::{} at {at}: {finding}", campaign.name, campaign.store);
        *self.counts.entry(finding.kind).or_default() += 1;
    }

    pub(crate) fn outcome(&mut self, what: impl Into<String>) {
        *self.outcomes.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn summed(mut self, summary: &str) -> Self {
        summary.clone_into(&mut self.summary);
        self
    }

    fn result(&self) -> String {
        let count = |kind| self.counts.get(&kind).copied().unwrap_or_default();
        let always = [
            (Kind::Lost, "lost"),
            (Kind::Half, "half"),
            (Kind::Unopened, "failed opens"),
        ];
        let sometimes = [
            (Kind::Growth, "kinds of growth"),
            (Kind::Identity, "wrong identities"),
            (Kind::Hang, "hangs"),
            (Kind::Unsound, "unsound by shild verify"),
            (Kind::Strange, "strange answers"),
        ];
        let always = always.map(|(kind, name)| format!("{} {name}", count(kind)));
        let sometimes = sometimes
            .into_iter()
            .filter(|(kind, _)| count(*kind) > 0)
            .map(|(kind, name)| format!("**{} {name}**", count(kind)));
        let outcomes = self.outcomes.iter().map(|(what, times)| format!("{times} {what}"));
        always
            .into_iter()
            .chain(sometimes)
            .chain(outcomes)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// What not every machine, or not every shild, has: in words, and whether it is there.
type Need = (&'static str, fn() -> bool);

/// A campaign, how large it is in a short run, and in a long one. 0: it is left out of short runs, since a store does not yet
/// stand all of it.
struct Plan {
    name: &'static str,
    needs: Option<Need>,
    run: fn(&Campaign) -> Report,
    short: u64,
    long: u64,
}

const SHIM: Option<Need> = Some(("Linux and a C compiler", shim::can_be_made));

const PLANS: [Plan; 8] = [
    Plan {
        name: "kill",
        needs: None,
        run: kill::run,
        short: 3,
        long: 500,
    },
    Plan {
        name: "power_strict",
        needs: SHIM,
        run: power::strict,
        short: 5,
        long: 200,
    },
    Plan {
        name: "power_random",
        needs: SHIM,
        run: power::random,
        short: 0,
        long: 200,
    },
    Plan {
        name: "damage",
        needs: None,
        run: damage::run,
        short: 3,
        long: 500,
    },
    Plan {
        name: "disk_full",
        needs: Some(("root, to mount a small disk", faults::can_mount)),
        run: faults::full,
        short: 2,
        long: 100,
    },
    Plan {
        name: "faults",
        needs: SHIM,
        run: faults::operations,
        short: 2,
        long: 100,
    },
    Plan {
        name: "restore",
        needs: Some(("shild restore", restore::can_restore)),
        run: restore::run,
        short: 1,
        long: 50,
    },
    Plan {
        name: "soak",
        needs: None,
        run: soak::run,
        short: 3,
        long: 300,
    },
];

const STORES: [&str; 2] = ["sled", "redb"];

fn main() {
    let mut arguments = Arguments::from_args();
    // Each needs the machine for itself.
    arguments.test_threads = Some(1);
    let size = env::var("SHILD_CAMPAIGN").unwrap_or_default();
    let seed = env::var("SHILD_CAMPAIGN_SEED").ok();
    let seed = seed.map_or_else(
        || u64::from(os::id()),
        |seed| seed.parse().expect("SHILD_CAMPAIGN_SEED is a number"),
    );
    let mut trials = Vec::new();
    for plan in PLANS {
        let Plan {
            name,
            needs,
            run,
            short,
            long,
        } = plan;
        let lacks = needs.filter(|(_, there)| !there());
        if let Some((what, _)) = lacks {
            eprintln!("SKIPPED: {name}: it needs {what}");
        }
        for store in STORES {
            let campaign = Campaign {
                name,
                store: store.to_owned(),
                size: match size.as_str() {
                    "" => short,
                    "long" => long,
                    number => number.parse().expect("SHILD_CAMPAIGN is long, or a number"),
                },
                seed,
            };
            let there = has_store(store);
            let left_out = campaign.size == 0;
            if left_out {
                eprintln!("SKIPPED: {name}::{store}: for long runs only; set SHILD_CAMPAIGN");
            }
            if !there {
                eprintln!("SKIPPED: {name}::{store}: this shild has no such store");
            }
            let trial = Trial::test(format!("{name}::{store}"), move || carry_out(run, &campaign));
            trials.push(trial.with_ignored_flag(!there || left_out || lacks.is_some()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn has_store(store: &str) -> bool {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let mut command = server::shild(dir.path(), &["config"]);
    command.env("SHILD_STORE", store);
    server::run(command).0 == Some(0)
}

fn carry_out(run: fn(&Campaign) -> Report, campaign: &Campaign) -> Result<(), Failed> {
    let start = Instant::now();
    let report = run(campaign);
    let took = Duration::from_secs(start.elapsed().as_secs());
    println!(
        "| {} | {} | {} | {} | {took:?} | seed {} |",
        campaign.name,
        campaign.store,
        report.summary,
        report.result(),
        campaign.seed
    );
    if report.counts.is_empty() {
        Ok(())
    } else {
        Err(format!("{} found what must not be: see standard error", campaign.name).into())
    }
}
