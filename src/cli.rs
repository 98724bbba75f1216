//! The command line: one verb a file.
//!
//! Results go to standard output, all else to standard error. Exit codes: 0 done, 1 failed, 2 usage.

mod audit;
mod completions;
mod config;
mod door;
mod export;
mod healthcheck;
mod import;
mod key;
mod memory;
mod openapi;
mod progress;
mod restore;
mod serve;
mod session;
mod table;
mod user;
mod verify;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use shild::config::{Overrides, Sources, StoreKind};

/// Why a verb failed: shown as one line.
type Failure = Box<dyn Error>;

/// A verb was used in a way that cannot work; exit code 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// User accounts and OAuth 2 bearer tokens in one binary.
#[derive(Debug, Parser)]
#[command(name = "shild", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What every verb takes.
#[derive(Debug, Args)]
struct Global {
    /// The directory that holds the store and the keys [default: data].
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Read settings from this file instead of Rocket.toml.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

/// What `serve` takes; `shild` alone is `shild serve`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
struct ServeArgs {
    #[command(flatten)]
    listen: ListenArgs,
    /// Where users, sessions and keys are kept [default: sled].
    #[arg(long, value_name = "STORE")]
    store: Option<StoreArg>,
}

/// Where the server listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
struct ListenArgs {
    /// The address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The port to listen on [default: 8000].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreArg {
    /// On disk, in the data directory, by sled.
    Sled,
    /// On disk, in the data directory, by redb.
    #[cfg(feature = "redb")]
    Redb,
    /// In memory, gone at the end.
    Memory,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server.
    Serve(ServeArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the settings in force, secrets hidden.
    Config {
        #[command(flatten)]
        args: ServeArgs,
        /// As one JSON object instead of TOML.
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if the running server is well, with 1 if not.
    Healthcheck(ListenArgs),
    /// Print a completion script for a shell, or the manual page.
    Completions {
        /// The shell, or man.
        shell: completions::Target,
    },
    /// Manage users.
    #[command(arg_required_else_help = false)]
    User {
        #[command(subcommand)]
        verb: user::Verb,
    },
    /// See and end sessions.
    #[command(arg_required_else_help = false)]
    Session {
        #[command(subcommand)]
        verb: session::Verb,
    },
    /// Read the audit log, newest first.
    Audit(audit::AuditArgs),
    /// Write all users, with the hashes of their passwords, to a file.
    Export(export::ExportArgs),
    /// Walk over the whole store and say what disagrees; exit with 1 if anything does.
    Verify {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Bring the newest snapshot back in place of a store that is damaged or missing; what was there is kept.
    Restore,
    /// Take in users, with their hashes, from an export of shild's own or of another program.
    Import(import::ImportArgs),
    /// Manage the signing keys.
    #[command(arg_required_else_help = false)]
    Key {
        #[command(subcommand)]
        verb: key::Verb,
    },
}

impl From<StoreArg> for StoreKind {
    fn from(arg: StoreArg) -> Self {
        match arg {
            StoreArg::Sled => Self::Sled,
            #[cfg(feature = "redb")]
            StoreArg::Redb => Self::Redb,
            StoreArg::Memory => Self::Memory,
        }
    }
}

impl Global {
    /// The settings' sources, with what the command line adds to them.
    fn sources(self, args: ServeArgs) -> Sources {
        let overrides = Overrides {
            address: args.listen.address,
            port: args.listen.port,
            data_dir: self.data_dir,
            store: args.store.map(StoreKind::from),
        };
        Sources::from_process(self.config, overrides)
    }
}

impl ServeArgs {
    /// These, and `outer` (given before the verb) where these say nothing.
    fn or(self, outer: Self) -> Self {
        Self {
            listen: ListenArgs {
                address: self.listen.address.or(outer.listen.address),
                port: self.listen.port.or(outer.listen.port),
            },
            store: self.store.or(outer.store),
        }
    }
}

impl From<ListenArgs> for ServeArgs {
    fn from(listen: ListenArgs) -> Self {
        Self { listen, store: None }
    }
}

/// Reads the command line, does what it says, and tells how it went.
pub(crate) fn main() -> ExitCode {
    memory::limit_heaps(1);
    let cli = match Cli::try_parse().and_then(check_place_of_flags) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            complain(&usage_line(&e));
            return ExitCode::from(2);
        }
        // `--help` and `--version`.
        Err(e) => return finish(print(&e.to_string()).map_err(Failure::from)),
    };
    finish(run(cli))
}

fn run(
    Cli {
        global,
        serve: outer,
        verb,
    }: Cli,
) -> Result<(), Failure> {
    match verb {
        None => serve::run(&global.sources(outer)),
        Some(Verb::Serve(args)) => serve::run(&global.sources(args.or(outer))),
        Some(Verb::Openapi) => openapi::run(&global.sources(outer)),
        Some(Verb::Config { args, json }) => config::run(&global.sources(args.or(outer)), json),
        Some(Verb::Healthcheck(listen)) => healthcheck::run(&global.sources(ServeArgs::from(listen).or(outer))),
        Some(Verb::Completions { shell }) => completions::run(shell),
        Some(Verb::User { verb }) => user::run(&global.sources(outer), verb),
        Some(Verb::Session { verb }) => session::run(&global.sources(outer), &verb),
        Some(Verb::Audit(args)) => audit::run(&global.sources(outer), &args),
        Some(Verb::Export(args)) => export::run(&global.sources(outer), &args),
        Some(Verb::Verify { json }) => verify::run(&global.sources(outer), json),
        Some(Verb::Restore) => restore::run(&global.sources(outer)),
        Some(Verb::Import(args)) => import::run(&global.sources(outer), &args),
        Some(Verb::Key { verb }) => key::run(&global.sources(outer), &verb),
    }
}

/// Refuses the flags of `serve` before a verb that has no use for them.
fn check_place_of_flags(cli: Cli) -> Result<Cli, clap::Error> {
    let has_use = matches!(
        cli.verb,
        None | Some(Verb::Serve(_) | Verb::Config { .. } | Verb::Healthcheck(_))
    );
    if has_use || cli.serve == ServeArgs::default() {
        return Ok(cli);
    }
    let message = "--address, --port and --store belong to serve\n";
    Err(Cli::command().error(ErrorKind::ArgumentConflict, message))
}

/// clap's report without the summary of the usage, on one line.
fn usage_line(error: &clap::Error) -> String {
    let report = error.to_string();
    let words = report
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line));
    // What is missing stands in lines of its own below a colon.
    format!(
        "{} (see shild --help)",
        words.collect::<Vec<_>>().join("; ").replace(":; ", ": ")
    )
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.to_string());
            if failure.is::<Usage>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// One line on standard error. That it cannot be written leaves nobody to tell.
fn complain(what: &str) {
    let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    drop(writeln!(io::stderr(), "shild: {line}"));
}

/// What async work runs on.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Writes a result to standard output. A reader that went away has read all it wanted.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_count_before_and_after_the_verb_and_without_it() {
        for line in [
            "shild --port 1 --data-dir d",
            "shild serve --port 1 --data-dir d",
            "shild --data-dir d --port 1 serve",
            "shild --port 2 --data-dir d serve --port 1",
        ] {
            let cli = Cli::try_parse_from(line.split(' '))
                .and_then(check_place_of_flags)
                .unwrap();
            let args = match cli.verb {
                Some(Verb::Serve(args)) => args.or(cli.serve),
                _ => cli.serve,
            };
            let sources = cli.global.sources(args);
            assert_eq!(sources.overrides.port, Some(1), "{line}");
            assert_eq!(sources.overrides.data_dir, Some("d".into()), "{line}");
        }
    }
}
