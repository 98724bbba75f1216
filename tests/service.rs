//! The unit in `deploy/systemd`, read by systemd itself. Where `systemd-analyze` is not installed this says `SKIPPED` and passes.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

/// Where the unit looks for the program, which no test installs.
const INSTALLED: &str = "/usr/local/bin/shild";

/// What `systemd-analyze` says with these arguments, if it is installed.
fn analyze(args: &[&str]) -> Option<Output> {
    let said = Command::new("systemd-analyze").args(args).output().ok();
    if said.is_none() {
        // Not by a macro, whose output a test that passes does not show.
        let line = "SKIPPED service: systemd-analyze is not installed (apt-get install systemd)\n";
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    said
}

#[test]
fn the_unit_is_without_fault_and_shuts_the_host_away() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/shild.service");
    let text = fs::read_to_string(unit).expect("the unit can be read");
    assert!(text.contains(INSTALLED), "{text}");
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let unit = home.path().join("shild.service");
    fs::write(&unit, text.replace(INSTALLED, env!("CARGO_BIN_EXE_shild"))).expect("the unit can be written");
    let unit = unit.to_str().expect("the path is UTF-8");

    let Some(said) = analyze(&["verify", "--man=no", unit]) else {
        return;
    };
    let complaints = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaints.is_empty(), "{complaints}");

    // Exposure, in tenths: 100 is a service that may do everything.
    let said = analyze(&["security", "--offline=true", "--no-pager", "--threshold=10", unit]).expect("it is there");
    let complaints = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{complaints}");
}
