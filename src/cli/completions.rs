//! `shild completions SHELL`

use clap::builder::PossibleValue;
use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::{Cli, Failure, print};

/// What can be written: a completion script, or the manual page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Shell(Shell),
    Man,
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Shell(Shell::Bash),
            Self::Shell(Shell::Elvish),
            Self::Shell(Shell::Fish),
            Self::Shell(Shell::PowerShell),
            Self::Shell(Shell::Zsh),
            Self::Man,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Shell(shell) => shell.to_possible_value(),
            Self::Man => Some(PossibleValue::new("man").help("the manual page, as roff")),
        }
    }
}

/// Prints the completion script for a shell, or the manual page.
pub(super) fn run(target: Target) -> Result<(), Failure> {
    let mut text = Vec::new();
    match target {
        Target::Shell(shell) => clap_complete::generate(shell, &mut Cli::command(), "shild", &mut text),
        Target::Man => clap_mangen::Man::new(Cli::command()).render(&mut text)?,
    }
    Ok(print(&String::from_utf8(text)?)?)
}
