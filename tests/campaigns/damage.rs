//! A closed store is damaged: it must be refused with a word on what to do, or be right in everything. What is never to be
//! seen is somebody else's account, an account less, a panic or a hang.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::check::{Finding, Kind};
use crate::load::{Crew, NoNotes};
use crate::process::{Refusal, Site};
use crate::rng::Rng;
use crate::{Campaign, Report};

/// Connections of the load that makes the store, and damages to one store.
const WORKERS: usize = 6;
const DAMAGES: u64 = 50;

/// What a refusal must name one of.
const WAYS_OUT: [&str; 4] = [
    "shild restore",
    "shild key reset",
    "backup",
    "use the shild that wrote it",
];

pub(crate) fn run(campaign: &Campaign) -> Report {
    let mut rng = Rng::new(campaign.seed);
    let mut report = Report::default();
    let mut done = 0;
    while done < campaign.size {
        let home = campaign.home();
        let site = Site::new(home.path(), &campaign.store);
        let restores = site.run(&["restore", "--help"]).is_ok();
        let whole = home.path().join("whole");
        let crew = match make(&site, &mut rng) {
            Ok(crew) => crew,
            Err(finding) => {
                report.found(campaign, done, finding);
                break;
            }
        };
        fs::rename(site.data(), &whole).expect("it can be moved");
        for _ in 0..DAMAGES.min(campaign.size - done) {
            drop(fs::remove_dir_all(site.data()));
            copy(&whole, &site.data()).expect("it can be copied");
            let what = damage(&site.data(), &mut rng).expect("it can be damaged");
            let mut crew = crew.again(&mut rng);
            match outcome(&site, &mut crew, restores) {
                Ok(outcome) => report.outcome(outcome),
                Err(mut finding) => {
                    finding.text = format!("{what}: {}", finding.text);
                    report.found(campaign, done, finding);
                }
            }
            done += 1;
        }
    }
    report.summed(&format!("{done} damages: flips of a bit, zeroed pages, truncations"))
}

/// A store that was closed as it should be, and those who know what is in it.
fn make(site: &Site, rng: &mut Rng) -> Result<Crew, Finding> {
    let mut crew = Crew::of(WORKERS, rng);
    let server = site.start().map_err(|refusal| refusal.finding())?;
    let done = crew.work_while(&server, &NoNotes, || thread::sleep(Duration::from_millis(1500)));
    if let Some(finding) = done.findings.into_iter().chain(crew.check(&server, 1)).next() {
        return Err(finding);
    }
    if server.stop() == Some(0) {
        Ok(crew)
    } else {
        let text = "the server did not end well".to_owned();
        Err(Finding {
            kind: Kind::Strange,
            text,
        })
    }
}

fn outcome(site: &Site, crew: &mut Crew, restores: bool) -> Result<&'static str, Finding> {
    match site.start() {
        Ok(server) => {
            let mut noticed = false;
            for finding in crew.check(&server, 1) {
                // An answer that says that it cannot be told is no wrong answer.
                if finding.kind == Kind::Strange && (finding.text.contains("answers 50")) {
                    noticed = true;
                } else {
                    return Err(finding);
                }
            }
            if noticed {
                return Ok("noticed by a request (5xx)");
            }
            let verified = site.verify().is_none();
            Ok(if verified {
                "all right"
            } else {
                "noticed by shild verify, all right otherwise"
            })
        }
        Err(refusal) => {
            admit(&refusal)?;
            if !restores {
                return Ok("refused");
            }
            if refusal.line().contains("key reset") {
                return Ok("refused (master key)");
            }
            site.run(&["restore"]).map_err(|refusal| Finding {
                kind: Kind::Unopened,
                text: format!("shild restore: {}", refusal.line()),
            })?;
            let server = site.start().map_err(|refusal| Finding {
                kind: Kind::Unopened,
                text: format!("after shild restore: {}", refusal.line()),
            })?;
            match crew.check(&server, 1).into_iter().next() {
                Some(mut finding) => {
                    finding.text = format!("after shild restore: {}", finding.text);
                    Err(finding)
                }
                None => Ok("refused and restored"),
            }
        }
    }
}

/// Whether it is a refusal as it should be: one line that says what to do, and nothing of a panic.
fn admit(refusal: &Refusal) -> Result<(), Finding> {
    let line = refusal.line();
    let wrong = |kind, what: &str| {
        Err(Finding {
            kind,
            text: format!("{what}: {line}"),
        })
    };
    if refusal.code.is_none() {
        wrong(Kind::Hang, "it hangs or dies")
    } else if refusal.code != Some(1) || !line.starts_with("shild: ") {
        wrong(Kind::Strange, "a refusal without its line")
    } else if !WAYS_OUT.iter().any(|way| line.contains(way)) {
        wrong(Kind::Strange, "a refusal that does not say what to do")
    } else {
        Ok(())
    }
}

/// Damages one file: half of the time the largest, else any other. What it did, in words.
fn damage(data: &Path, rng: &mut Rng) -> io::Result<String> {
    let mut files = Vec::new();
    collect(data, &mut files)?;
    files.sort();
    let snapshot = |path: &Path| path.components().any(|part| part.as_os_str() == "snapshots");
    let largest = files
        .iter()
        .filter(|(path, _)| !snapshot(path))
        .max_by_key(|(_, len)| *len);
    let (path, len) = match largest {
        Some(largest) if rng.once_in(2) => largest,
        _ => rng.pick(&files),
    };
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let at = rng.below(*len);
    let what = match rng.below(3) {
        0 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            let bit = rng.below(8);
            file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
            format!("bit {bit} of byte {at} flipped")
        }
        1 => {
            let page = at / 4096 * 4096;
            let end = len.min(&(page + 4096)) - page;
            file.write_all_at(&vec![0; usize::try_from(end).expect("a page")], page)?;
            format!("bytes {page} to {} zeroed", page + end)
        }
        _ => {
            file.set_len(at)?;
            format!("cut to {at}")
        }
    };
    let name = path.strip_prefix(data).unwrap_or(path).display();
    Ok(format!("{name} of {len} bytes, {what}"))
}

/// The files below it that hold anything.
fn collect(dir: &Path, into: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let (path, len) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.len())))?;
        if path.is_dir() {
            collect(&path, into)?;
        } else if len > 0 {
            into.push((path, len));
        }
    }
    Ok(())
}

pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
