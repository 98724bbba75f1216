//! The real binary, running.
#![allow(dead_code, reason = "each test binary that includes this uses another part of it")]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A password that the policy accepts.
pub(crate) const PASSWORD: &str = "violet-harbour-5-quilt";

/// How long a program may take that ends by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cheap hashes, and no limit that a test could run into.
const SETTINGS: [(&str, &str); 4] = [
    ("SHILD_PASSWORD__ARGON2__MEMORY_KIB", "8"),
    ("SHILD_PASSWORD__ARGON2__ITERATIONS", "1"),
    ("SHILD_THROTTLE__PER_SOURCE__PER_MINUTE", "1000000"),
    ("SHILD_THROTTLE__PER_SOURCE__BURST", "1000000"),
];

/// The program in the directory `home`, with its data in `home/data` and nothing of the surrounding environment.
pub(crate) fn shild(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shild"));
    command.args(args).current_dir(home).env_clear().envs(SETTINGS);
    command
}

/// Says that something is not tested, and why, also where the test passes: what is printed is shown only where one fails.
pub(crate) fn skipped(what: &str) {
    // Who does not listen is not told.
    drop(io::stderr().write_all(format!("SKIPPED {what}\n").as_bytes()));
}

/// Runs it to its end: exit code, standard output, standard error without the lines of the log.
/// One that does not end by itself is killed, and has no exit code.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let pid = child.id();
    let (ended, end) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            signal("-KILL", pid);
        }
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output can be read");
    drop(ended);
    watch.join().expect("it only waits");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    let complaints: String = text(stderr)
        .split_inclusive('\n')
        .filter(|line| line.starts_with("shild: "))
        .collect();
    (status.code(), text(stdout), complaints)
}

/// Sends a signal to a process; whether there is one.
fn signal(which: &str, pid: u32) -> bool {
    let sent = Command::new("kill").args([which, &pid.to_string()]).status();
    sent.expect("there is a program kill").success()
}

/// A server that runs until it is stopped, or the test ends.
pub(crate) struct Server {
    child: Child,
    /// Where it listens, `http://127.0.0.1:port`.
    pub(crate) url: String,
    agent: ureq::Agent,
}

impl Server {
    /// Starts it on a port that is free.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_on(home, "0")
    }

    /// Starts it on this port.
    pub(crate) fn start_on(home: &Path, port: &str) -> Self {
        Self::spawn(home, shild(home, &["serve", "--port", port]))
    }

    /// Starts it on a port that is free, with these settings over the others.
    pub(crate) fn start_with(home: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = shild(home, &["serve", "--port", "0"]);
        command.envs(settings.iter().copied());
        Self::spawn(home, command)
    }

    /// Starts it as `command` says.
    pub(crate) fn spawn(home: &Path, mut command: Command) -> Self {
        let log = home.join("log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the log can be made"))
            .spawn()
            .expect("the program can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its output can be read");
        let url = line
            .strip_prefix("shild listens on ")
            .and_then(|rest| rest.split_once(';'))
            .unwrap_or_else(|| panic!("{line}{}", fs::read_to_string(&log).unwrap_or_default()))
            .0
            .to_owned();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        Self { child, url, agent }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> &str {
        self.url.rsplit(':').next().expect("there is a port")
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        assert!(signal("-TERM", self.child.id()), "it has ended already");
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("it is a child of this process")
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(self) {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "{status}");
    }

    pub(crate) fn get(&self, path: &str, bearer: Option<&str>) -> (u16, Value) {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(token) = bearer {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.agent.post(format!("{}{path}", self.url)).send_json(body))
    }

    pub(crate) fn text(&self, path: &str) -> (u16, String) {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.url))
            .call()
            .expect("it answers");
        let text = response.body_mut().read_to_string().expect("a text");
        (response.status().as_u16(), text)
    }

    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.url));
        answer(request.send_form(fields.iter().copied()))
    }

    pub(crate) fn register(&self, name: &str) -> Value {
        let body = serde_json::json!({"username": name, "password": PASSWORD});
        let (status, user) = answer(self.agent.post(format!("{}/register", self.url)).send_json(body));
        assert_eq!(status, 201, "{user}");
        user
    }

    pub(crate) fn sign_in(&self, name: &str) -> Value {
        let fields = [("grant_type", "password"), ("username", name), ("password", PASSWORD)];
        let (status, tokens) = self.form("/shild", &fields);
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    pub(crate) fn refresh(&self, token: &str) -> (u16, Value) {
        self.form("/shild", &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

impl Drop for Server {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = response.expect("it answers");
    let text = response.body_mut().read_to_string().expect("a text");
    (
        response.status().as_u16(),
        serde_json::from_str(&text).unwrap_or(Value::Null),
    )
}

pub(crate) fn member<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}"))
}
