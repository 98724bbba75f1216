//! The disk is full, or an operation on a file fails: no change is acknowledged that is not there, reads go on, the server says
//! that it cannot write, and writes again by itself as soon as it can.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Finding, Kind, takes_changes};
use crate::http::{Connection, Request};
use crate::load::{Crew, Done, NoNotes};
use crate::process::{Running, Site};
use crate::rng::Rng;
use crate::shim::{Faults, Ops};
use crate::world::{Session, register, sign_in};
use crate::{Campaign, Report};

/// Connections.
const WORKERS: usize = 8;

/// How long it may take until the server writes again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The size of the disk that gets full.
const DISK: u64 = 64 << 20;

const PASSWORD: &str = "violet-harbour-5-quilt";

/// Somebody who only looks.
struct Reader {
    connection: Connection,
    access: String,
}

impl Reader {
    fn of(server: &Running) -> Result<Self, Finding> {
        let mut connection = Connection::to(server.address);
        let mut ask = |request: &Request| {
            connection.ask(request).map_err(|error| Finding {
                kind: Kind::Hang,
                text: error.to_string(),
            })
        };
        // There already if this is a later life.
        ask(&register("reader", PASSWORD))?;
        let access = Session::of(&ask(&sign_in("reader", PASSWORD))?.body).access;
        Ok(Self { connection, access })
    }

    fn status(&mut self, path: &str) -> u16 {
        let request = Request::new("GET", path, Some(&self.access)).empty();
        self.connection.ask(&request).map_or(0, |answer| answer.status)
    }

    /// Waits until the server says of itself what is expected; whether it does in this time.
    fn waits_for(&mut self, ready: u16, patience: Duration) -> bool {
        let start = Instant::now();
        while self.status("/readyz") != ready {
            if start.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// One point of either campaign: what is wrong, and what is worth counting.
struct Point<'a> {
    site: &'a Site,
    crew: Crew,
    findings: Vec<Finding>,
    outcomes: Vec<String>,
}

impl<'a> Point<'a> {
    fn new(site: &'a Site, rng: &mut Rng) -> Self {
        drop(fs::remove_dir_all(site.data()));
        Self {
            site,
            crew: Crew::of(WORKERS, rng),
            findings: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    fn start(&mut self) -> Result<Running, Finding> {
        self.site.start().map_err(|refusal| refusal.finding())
    }

    fn strange(&mut self, text: impl Into<String>) {
        let (kind, text) = (Kind::Strange, text.into());
        self.findings.push(Finding { kind, text });
    }

    fn work(&mut self, server: &Running, lead: impl FnOnce()) -> Done {
        let mut done = self.crew.work_while(server, &NoNotes, lead);
        self.findings.append(&mut done.findings);
        done
    }

    /// While nothing can be written: reads go on, and the server says what is wrong.
    fn during(&mut self, reader: &mut Reader, says: bool) {
        let read = reader.status("/user/me");
        if read != 200 {
            self.strange(format!(
                "no reads while nothing can be written, but {read}; it logged: {}",
                self.site.logged()
            ));
        }
        if says && reader.status("/readyz") != 503 {
            self.strange("/readyz says that it is well while nothing can be written");
        }
    }

    /// After it: the server writes again by itself, has all that it acknowledged, and has it after a restart too.
    fn after(&mut self, server: Running, reader: &mut Reader, kills: bool) -> Result<(), Finding> {
        let start = Instant::now();
        let mut server = server;
        let back = reader.waits_for(200, PATIENCE) && takes_changes(&mut Connection::to(server.address), "after");
        if back {
            let slow = start.elapsed() > Duration::from_secs(5);
            self.outcomes.push(
                if slow {
                    "resumed after more than 5 s"
                } else {
                    "resumed within 5 s"
                }
                .to_owned(),
            );
        } else {
            self.strange("it does not write again by itself");
            server.kill();
            drop(server);
            server = self.start()?;
        }
        self.findings.append(&mut self.crew.check(&server, 1));
        self.findings.extend(self.site.verify());
        if kills {
            server.kill();
            drop(server);
        } else if server.stop() != Some(0) {
            self.strange("the server did not end well");
        }
        let server = self.start()?;
        self.findings.append(&mut self.crew.check(&server, 1));
        drop(server);
        self.findings.extend(self.site.verify());
        Ok(())
    }

    fn told(self, broken_off: Result<(), Finding>, campaign: &Campaign, at: u64, text: &str, report: &mut Report) {
        for mut finding in self.findings.into_iter().chain(broken_off.err()) {
            finding.text = format!("{text}: {}", finding.text);
            report.found(campaign, at, finding);
        }
        self.outcomes.into_iter().for_each(|outcome| report.outcome(outcome));
    }
}

/// A small disk of its own, as long as it lives.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).ok()?;
        let size = format!("size={DISK}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .output();
        mounted.is_ok_and(|out| out.status.success()).then_some(Self(at))
    }

    /// Fills it but for so many bytes.
    fn fill(&self, room: u64) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("it can be made");
        let zeroes = vec![0; 1 << 20];
        let mut piece = zeroes.len();
        // In ever smaller pieces, until not even a page fits.
        while piece >= 4096 {
            if file.write_all(&zeroes[..piece]).is_err() {
                piece /= 2;
            }
        }
        let len = file.metadata().expect("it is there").len();
        file.set_len(len.saturating_sub(room)).expect("it can be cut");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn free(&self) {
        drop(fs::remove_file(self.ballast()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

/// Whether a disk of its own can be had: for root only.
pub(crate) fn can_mount() -> bool {
    let dir = tempfile::tempdir().expect("a directory can be made");
    Disk::mount(dir.path().join("disk")).is_some()
}

/// The disk gets full.
pub(crate) fn full(campaign: &Campaign) -> Report {
    let home = campaign.home();
    let disk = Disk::mount(home.path().join("disk")).expect("it could be mounted a moment ago");
    let site = Site::new(home.path(), &campaign.store).data_in(disk.0.join("data"));
    let mut rng = Rng::new(campaign.seed);
    let mut report = Report::default();
    for at in 0..campaign.size {
        let magnitude = 10 + rng.below(13);
        let room = rng.below(1 << magnitude);
        let mut point = Point::new(&site, &mut rng);
        let broken_off = full_at(&disk, room, &mut point, &mut rng);
        disk.free();
        point.told(broken_off, campaign, at, &format!("{room} bytes of room"), &mut report);
    }
    report.summed(&format!("disk full at {} points", campaign.size))
}

fn full_at(disk: &Disk, room: u64, point: &mut Point<'_>, rng: &mut Rng) -> Result<(), Finding> {
    let server = point.start()?;
    let mut reader = Reader::of(&server)?;
    let mut saw_it = false;
    point.work(&server, || {
        thread::sleep(Duration::from_millis(100 + rng.below(200)));
        disk.fill(room);
        saw_it = reader.waits_for(503, Duration::from_secs(2));
        if !saw_it {
            // The store has room of its own within its files: take what is left, and wait until that is used up.
            disk.fill(0);
            saw_it = reader.waits_for(503, Duration::from_secs(5));
        }
        thread::sleep(Duration::from_millis(100));
    });
    point
        .outcomes
        .push(if saw_it { "ran out of room" } else { "had room enough" }.to_owned());
    point.during(&mut reader, saw_it);
    let kills = rng.once_in(2);
    if saw_it && rng.once_in(6) {
        // A restart while it is full may be refused, and does no harm.
        server.kill();
        drop(server);
        let started = point.site.start().is_ok();
        point.outcomes.push(
            if started {
                "started while full"
            } else {
                "refused to start while full"
            }
            .to_owned(),
        );
        disk.free();
        let server = point.start()?;
        return point.after(server_and(&mut reader, server)?, &mut reader, kills);
    }
    disk.free();
    point.after(server, &mut reader, kills)
}

/// The reader goes on with this server.
fn server_and(reader: &mut Reader, server: Running) -> Result<Running, Finding> {
    *reader = Reader::of(&server)?;
    Ok(server)
}

const EIO: u32 = 5;
const EMFILE: u32 = 24;
const ENOSPC: u32 = 28;

/// An operation fails, once or from then on until it is lifted.
pub(crate) fn operations(campaign: &Campaign) -> Report {
    let home = campaign.home();
    let (site, faults) = Faults::of(Site::new(home.path(), &campaign.store));
    let mut rng = Rng::new(campaign.seed);
    let mut report = Report::default();
    for at in 0..campaign.size {
        let &(ops, error) = rng.pick(&[
            (Ops::WRITE, EIO),
            (Ops::WRITE, ENOSPC),
            (Ops::SYNC, EIO),
            (Ops::WRITE.and(Ops::SYNC), EIO),
            (Ops::WRITE.and(Ops::NAME), ENOSPC),
            (Ops::OPEN, EMFILE),
            (Ops::READ, EIO),
        ]);
        let magnitude = rng.below(8);
        let after = rng.below(1 << magnitude);
        let lasts = rng.once_in(2);
        let at_start = rng.once_in(4);
        let text = format!("{ops:?} fail with {error} after {after}, lasting: {lasts}, at the start: {at_start}");
        let fault = Fault {
            ops,
            error,
            after,
            lasts,
        };
        let mut point = Point::new(&site, &mut rng);
        let broken_off = if at_start {
            fails_at_start(&faults, &fault, &mut point)
        } else {
            fails(&faults, &fault, &mut point, &mut rng)
        };
        faults.lift();
        point.told(broken_off, campaign, at, &text, &mut report);
    }
    report.summed(&format!("failing operations at {} points", campaign.size))
}

struct Fault {
    ops: Ops,
    error: u32,
    after: u64,
    lasts: bool,
}

impl Fault {
    fn set(&self, faults: &Faults) {
        let more = if self.lasts { u64::MAX - self.after - 1 } else { 0 };
        faults.fail(self.ops, self.after, more, self.error);
    }

    /// Whether nothing can be written while it lasts.
    const fn stops_writing(&self) -> bool {
        self.lasts && self.ops.0 & (Ops::WRITE.0 | Ops::SYNC.0) != 0
    }
}

fn fails(faults: &Faults, fault: &Fault, point: &mut Point<'_>, rng: &mut Rng) -> Result<(), Finding> {
    let server = point.start()?;
    let mut reader = Reader::of(&server)?;
    let mut hit = false;
    let done = point.work(&server, || {
        thread::sleep(Duration::from_millis(100));
        fault.set(faults);
        let start = Instant::now();
        while !hit && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(10));
            hit = faults.counted() > fault.after;
        }
        thread::sleep(Duration::from_millis(100));
    });
    if done.unanswered > 0 {
        point.strange("requests were broken off");
    }
    point.outcomes.push(if hit { "hit" } else { "not hit" }.to_owned());
    if hit && fault.ops.0 & Ops::READ.0 == 0 {
        point.during(&mut reader, fault.stops_writing());
    }
    faults.lift();
    point.after(server, &mut reader, rng.once_in(2))
}

/// The server is stopped, starts while operations fail, and starts again when they do not.
fn fails_at_start(faults: &Faults, fault: &Fault, point: &mut Point<'_>) -> Result<(), Finding> {
    let server = point.start()?;
    point.work(&server, || thread::sleep(Duration::from_millis(200)));
    server.kill();
    drop(server);
    fault.set(faults);
    match point.site.start() {
        Ok(server) => {
            point.outcomes.push("started all the same".to_owned());
            server.kill();
        }
        Err(refusal) => {
            if refusal.code != Some(1) || !refusal.line().starts_with("shild: ") {
                point.strange(format!(
                    "a refusal without its line: {:?} {}",
                    refusal.code,
                    refusal.line()
                ));
            }
            point.outcomes.push("refused to start".to_owned());
        }
    }
    faults.lift();
    let server = point.start()?;
    let mut reader = Reader::of(&server)?;
    point.after(server, &mut reader, true)
}
