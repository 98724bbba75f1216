//! The server that is flooded.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// A running server; ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The release binary with its default settings, but for the throttle, which would be all that is measured, and these.
    pub(crate) async fn start(dir: &Path, request_timeout: Duration, idle_timeout: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let seconds = |span: Duration| format!("{}s", span.as_secs());
        let child = Command::new(env!("CARGO_BIN_EXE_shild"))
            .args(["serve", "--port", &address.port().to_string()])
            .current_dir(dir)
            .env_clear()
            .env("SHILD_THROTTLE__PER_SOURCE__PER_MINUTE", "1000000")
            .env("SHILD_THROTTLE__PER_SOURCE__BURST", "1000000")
            .env("SHILD_REQUEST_TIMEOUT", seconds(request_timeout))
            .env("SHILD_IDLE_TIMEOUT", seconds(idle_timeout))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { child, address }
    }

    /// Resident memory.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<f64>().ok())
            .expect("Linux tells how much it is")
            / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
