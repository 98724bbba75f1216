//! kill -9 under load, again and again on the same data.

use std::thread;
use std::time::Duration;

use crate::check::{Finding, Kind};
use crate::load::{Crew, NoNotes};
use crate::process::Site;
use crate::rng::Rng;
use crate::{Campaign, Report};

/// One account in so many is looked at each time although nothing happened to it.
const OTHERS: u64 = 10;

pub(crate) fn run(campaign: &Campaign) -> Report {
    let home = campaign.home();
    let site = Site::new(home.path(), &campaign.store);
    let mut rng = Rng::new(campaign.seed);
    let mut crew = Crew::new(&mut rng);
    let mut report = Report::default();
    let (mut acknowledged, mut broken_off) = (0, 0);
    for cycle in 0..campaign.size {
        if rng.once_in(8) {
            site.start_and_kill(Duration::from_millis(rng.below(60)));
        }
        let server = match site.start() {
            Ok(server) => server,
            Err(refusal) => {
                report.found(campaign, cycle, refusal.finding());
                return report.summed(&summary(cycle, acknowledged, broken_off));
            }
        };
        for finding in crew.check(&server, OTHERS) {
            report.found(campaign, cycle, finding);
        }
        // Through the server, or on what the killed one left behind.
        let online = rng.once_in(2);
        let mut unsound = if online { site.verify() } else { None };
        let pause = Duration::from_millis(200 + rng.below(600));
        let done = crew.work_while(&server, &NoNotes, || {
            thread::sleep(pause);
            server.kill();
        });
        acknowledged += done.acknowledged;
        broken_off += done.unanswered;
        for finding in done.findings {
            report.found(campaign, cycle, finding);
        }
        drop(server);
        if !online {
            unsound = site.verify();
        }
        if let Some(finding) = unsound {
            report.found(campaign, cycle, finding);
        }
    }
    match site.start() {
        Ok(server) => {
            for finding in crew.check(&server, 1) {
                report.found(campaign, campaign.size, finding);
            }
            if server.stop() != Some(0) {
                let text = "the last server did not end well".to_owned();
                report.found(
                    campaign,
                    campaign.size,
                    Finding {
                        kind: Kind::Strange,
                        text,
                    },
                );
            }
        }
        Err(refusal) => report.found(campaign, campaign.size, refusal.finding()),
    }
    if let Some(finding) = site.verify() {
        report.found(campaign, campaign.size, finding);
    }
    report.summed(&summary(campaign.size, acknowledged, broken_off))
}

fn summary(cycles: u64, acknowledged: u64, broken_off: u64) -> String {
    format!("{cycles} cycles, {acknowledged} acknowledged changes, {broken_off} in flight at the kills")
}
