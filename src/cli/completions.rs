//! `shild completions SHELL`

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure, print};

/// Prints the completion script for `shell`.
pub(super) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shild", &mut script);
    Ok(print(&String::from_utf8(script)?)?)
}
