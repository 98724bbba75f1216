//! The real binary over a directory: started, killed, asked to verify.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::{Finding, Kind};
use crate::server::shild;

/// How long a start, or a verb of the command line, may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings that let a campaign go fast, and hold its tokens good wherever the server listens.
const SETTINGS: [(&str, &str); 7] = [
    ("SHILD_ISSUER", "http://localhost"),
    ("SHILD_PASSWORD__MIN_STRENGTH", "0"),
    ("SHILD_ACCESS_TOKEN_TTL", "24h"),
    ("SHILD_REFRESH_RETRY_WINDOW", "5m"),
    ("SHILD_HASH_QUEUE", "10000"),
    ("SHILD_LOG_LEVEL", "warn"),
    ("ROCKET_WORKERS", "4"),
];

/// A directory to work in, where the data is, and the settings of whoever works on it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) home: PathBuf,
    data: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
}

/// A start, or a verb, that did not end well.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `None`: it was killed, for example because it hung.
    pub(crate) code: Option<i32>,
    /// All that it wrote to standard error.
    pub(crate) said: String,
}

impl Refusal {
    /// What it says to whoever started it.
    pub(crate) fn line(&self) -> &str {
        let line = self.said.lines().find(|line| line.starts_with("shild: "));
        line.or_else(|| self.said.lines().last()).unwrap_or("(nothing)")
    }

    pub(crate) fn finding(&self) -> Finding {
        let kind = if self.code.is_none() {
            Kind::Hang
        } else {
            Kind::Unopened
        };
        let text = format!("exit code {:?}: {}", self.code, self.line());
        Finding { kind, text }
    }
}

impl Site {
    pub(crate) fn new(home: &Path, store: &str) -> Self {
        Self {
            home: home.to_owned(),
            data: home.join("data"),
            settings: vec![("SHILD_STORE".to_owned(), store.to_owned())],
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// With the data there.
    pub(crate) fn data_in(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = shild(&self.home, args);
        let own = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        command
            .envs(SETTINGS.into_iter().chain(own))
            .env("SHILD_DATA_DIR", &self.data);
        command
    }

    fn spawn(&self) -> (Child, PathBuf) {
        let log = self.home.join("log");
        let child = self
            .command(&["serve", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the log can be made"))
            .spawn()
            .expect("the program can be started");
        (child, log)
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn start(&self) -> Result<Running, Refusal> {
        let (mut child, log) = self.spawn();
        let stdout = child.stdout.take().expect("standard output is piped");
        let (told, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // An error means that nobody waits for it any more.
            drop(told.send(read.map(|_| line)));
        });
        let line = line.recv_timeout(PATIENCE).ok().and_then(Result::ok);
        let address = line.as_deref().and_then(|line| {
            let url = line.strip_prefix("shild listens on http://")?.split(';').next()?;
            url.parse().ok()
        });
        if let Some(address) = address {
            return Ok(Running { child, address });
        }
        let hangs = line.is_none();
        if hangs {
            drop(child.kill());
        }
        let status = child.wait().expect("it is a child of this process");
        let said = fs::read(log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        Err(Refusal {
            code: status.code().filter(|_| !hangs),
            said,
        })
    }

    /// The last that a server here wrote to standard error.
    pub(crate) fn logged(&self) -> String {
        let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join(" / ")
    }

    /// Starts the server and kills it after this time, whatever it does then.
    pub(crate) fn start_and_kill(&self, after: Duration) {
        let (mut child, _) = self.spawn();
        thread::sleep(after);
        drop(child.kill());
        drop(child.wait());
    }

    /// Runs a verb to its end; its standard output.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String, Refusal> {
        let out = self.home.join("out");
        let err = self.home.join("err");
        let mut child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a file can be made"))
            .stderr(File::create(&err).expect("a file can be made"))
            .spawn()
            .expect("the program can be started");
        let text = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        let status = wait(&mut child, PATIENCE);
        match status {
            Some(0) => Ok(text(&out)),
            code => Err(Refusal {
                code,
                said: text(&out) + &text(&err),
            }),
        }
    }

    /// `shild verify`, through the server if one runs.
    pub(crate) fn verify(&self) -> Option<Finding> {
        let refusal = self.run(&["verify"]).err()?;
        Some(Finding {
            kind: Kind::Unsound,
            text: format!("shild verify: {}", refusal.said.replace('\n', "; ")),
        })
    }
}

/// Its exit code; `None` if it was killed, be it for taking too long.
fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is a child of this process") {
            return status.code();
        }
        if start.elapsed() > patience {
            drop(child.kill());
            drop(child.wait());
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server that runs until it is stopped or killed, at the latest when it is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        let sent = Command::new("kill").args(["-KILL", &self.pid().to_string()]).status();
        assert!(sent.expect("there is a program kill").success());
    }

    /// SIGTERM; whether it ended well, and in time.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(sent.expect("there is a program kill").success());
        wait(&mut self.child, PATIENCE)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
