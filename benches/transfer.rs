//! How long do import, export and verify take on a store of many users, and in how much memory?
//!
//! `cargo bench --bench transfer [-- USERS]`; the README's figures are of 1000000. The program itself does each, as a process
//! of its own, on the store while no server runs and through a running server. Peak memory is asked of Linux (`VmHWM`), and
//! is not known elsewhere. Prints a table in Markdown.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many users there are unless it is said.
const USERS: u64 = 20_000;

/// How often the memory is looked at.
const PACE: Duration = Duration::from_millis(5);

fn main() {
    let users = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(USERS);
    let home = tempfile::tempdir().expect("a directory can be made");
    let home = home.path();
    write_users(&home.join("users.ndjson"), users);
    let mut table = format!("| {users} users | time | peak memory | of the server |\n|---|---|---|---|\n");
    let mut row = |what: &str, args: &[&str], server: Option<&Server>| {
        let Measured { time, peak, said } = run(home, args);
        let served = server.map_or_else(String::new, |server| format!("{} MiB", server.peak()));
        let seconds = time.as_secs_f64();
        writeln!(table, "| {what} | {seconds:.1} s | {peak} MiB | {served} |").expect("text takes all");
        said
    };

    let (added, there) = (
        format!("{users} added, 0 skipped, 0 refused"),
        format!("0 added, {users} skipped, 0 refused"),
    );
    let said = row("import into an empty store", &["import", "users.ndjson"], None);
    assert_eq!(said, added);
    let said = row("the same again", &["import", "users.ndjson"], None);
    assert_eq!(said, there);
    let said = row("`--dry-run` of it", &["import", "users.ndjson", "--dry-run"], None);
    assert_eq!(said, format!("would be: {there}"));
    row("export", &["export", "export.ndjson"], None);
    assert!(
        same(home, "users.ndjson", "export.ndjson"),
        "the export has other bytes"
    );
    row("verify", &["verify"], None);

    let server = Server::start(home, "data");
    row("export through a server", &["export", "export.ndjson"], Some(&server));
    assert!(
        same(home, "users.ndjson", "export.ndjson"),
        "the export has other bytes"
    );
    drop(server);
    let server = Server::start(home, "data");
    let said = row(
        "import of what is there, through a server",
        &["import", "users.ndjson"],
        Some(&server),
    );
    assert_eq!(said, there);
    drop(server);
    let server = Server::start(home, "data");
    row("verify through a server", &["verify"], Some(&server));
    drop(server);
    let server = Server::start(home, "elsewhere");
    let args = ["--data-dir", "elsewhere", "import", "users.ndjson"];
    let said = row("import into an empty store, through a server", &args, Some(&server));
    assert_eq!(said, added);
    println!("{table}");
}

/// Ids in order, as UUIDv7 gives them; names in no order; a hash as long as the real ones.
fn write_users(path: &Path, users: u64) {
    const REST: &str = concat!(
        r#""password_hash":"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2E$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A","#,
        r#""scopes":["user"],"disabled":false,"created_at":"2023-11-14T22:13:20.123Z","updated_at":"2023-11-14T22:13:20.123Z","#,
        r#""version":1,"session_epoch":0,"reset":null,"kept_session":null}"#
    );
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        writeln!(out, r#"{{"kind":"header","format":"shild","version":1}}"#)?;
        for number in 0..users {
            // An odd factor, so no name comes twice.
            let name = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let id = format!("018bcfe5-{:04x}-7{:03x}-8000-{name:012x}", number >> 12, number & 0xFFF);
            let id = &id[..36];
            writeln!(
                out,
                r#"{{"kind":"user","id":"{id}","username":"user{name:016x}@example.com",{REST}"#
            )?;
        }
        writeln!(out, r#"{{"kind":"end","users":{users},"sessions":0,"events":0}}"#)?;
        out.flush()
    };
    write().expect("the users can be written");
}

/// Whether two files have the same lines.
fn same(home: &Path, one: &str, other: &str) -> bool {
    let lines = |name| BufReader::new(File::open(home.join(name)).expect("it is there")).split(b'\n');
    lines(one).map(Result::unwrap).eq(lines(other).map(Result::unwrap))
}

fn shild(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shild"));
    command.current_dir(home).env_clear().stdin(Stdio::null());
    command
}

/// What came of a run of the program.
struct Measured {
    time: Duration,
    /// In MiB.
    peak: u64,
    said: String,
}

fn run(home: &Path, args: &[&str]) -> Measured {
    let began = Instant::now();
    let mut child = shild(home)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            break status;
        }
        peak = peak_mib(&child).unwrap_or(peak);
        thread::sleep(PACE);
    };
    let time = began.elapsed();
    let said = std::io::read_to_string(child.stdout.take().expect("it is piped")).expect("the output is text");
    assert!(status.success(), "{args:?}: {status}");
    Measured {
        time,
        peak,
        said: said.trim_end().to_owned(),
    }
}

/// The most memory that the process has had so far.
fn peak_mib(process: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib >> 10)
}

/// A running server; ended when it is dropped.
struct Server(Child);

impl Server {
    fn start(home: &Path, data: &str) -> Self {
        let mut child = shild(home)
            .args(["--data-dir", data, "serve", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the output is text");
        assert!(line.contains("listens"), "the server does not start: {line}");
        Self(child)
    }

    fn peak(&self) -> u64 {
        peak_mib(&self.0).unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As a service manager does; it may have ended by itself.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}
