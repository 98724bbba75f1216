//! The servers that are measured: each a process of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The clock ticks of `/proc/<pid>/stat`, which Linux fixes at a hundred a second.
const TICK: Duration = Duration::from_millis(10);

/// A running server; ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Server {
    /// The release binary.
    pub(crate) fn shild(dir: &Path) -> Self {
        Self::shild_with(dir, &[])
    }

    /// The release binary with these settings, by their names in the environment.
    pub(crate) fn shild_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start(Path::new(env!("CARGO_BIN_EXE_shild")), |command, port| {
            let data = dir.join("data");
            command.args(["serve", "--port", port]).arg("--data-dir").arg(data);
            command.current_dir(dir).envs(settings.iter().copied());
        })
    }

    /// A Rocket with one route that answers with `body`.
    pub(crate) fn bare(body: &str) -> Self {
        Self::start(&this_program(), |command, port| {
            command.args(["bare", port, body]);
        })
    }

    /// An application that shild is a guest in.
    pub(crate) fn guest(dir: &Path, body: &str) -> Self {
        Self::start(&this_program(), |command, port| {
            command.args(["guest", port]).arg(dir.join("data")).arg(body);
            command.current_dir(dir);
        })
    }

    fn start(program: &Path, arguments: impl FnOnce(&mut Command, &str)) -> Self {
        let address = free_address();
        let mut command = Command::new(program);
        command.env_clear();
        arguments(&mut command, &address.port().to_string());
        command
            .env("SHILD_THROTTLE__PER_SOURCE__PER_MINUTE", "1000000")
            .env("SHILD_THROTTLE__PER_SOURCE__BURST", "1000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().expect("the program can be started");
        Self {
            child,
            address,
            started,
        }
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.is_ok_and(|status| status.success()), "it cannot be asked");
        let status = self.child.wait().expect("it is a child of this process");
        assert!(status.success(), "{status}");
    }

    /// Resident memory.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<f64>().ok()).expect("it is running") / 1024.0
    }

    /// The processor time that all its threads have used.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        // The name of the program, in parentheses, may have spaces in it; utime and stime are 12th and 13th after it.
        let after_name = stat.rsplit_once(')').expect("it is running").1;
        let times = after_name.split_whitespace().skip(11).take(2);
        let ticks: u32 = times.map(|ticks| ticks.parse::<u32>().expect("a number")).sum();
        TICK * ticks
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("Linux tells about its processes")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The size of the release binary.
pub(crate) fn binary_mib() -> f64 {
    let size = fs::metadata(env!("CARGO_BIN_EXE_shild"))
        .expect("it has been built")
        .len();
    size as f64 / (1024.0 * 1024.0)
}

fn this_program() -> std::path::PathBuf {
    env::current_exe().expect("the system knows which program this is")
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound")
}
