//! `shild import FILE`

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use shild::config::Sources;
use shild::transfer::import::{Format, ImportOptions, ImportReport};
use shild::transfer::schema;

use super::door::Door;
use super::progress;
use super::{Failure, complain, print};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The export; - for standard input.
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Whose export it is.
    #[arg(long, value_name = "F", default_value = "shild")]
    format: FormatArg,
    /// Only say what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Give the scope admin to those who may do everything in the other program.
    #[arg(long)]
    admins: bool,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of a line of shild's own instead.
    #[arg(long, conflicts_with_all = ["file", "dry_run", "admins", "json"])]
    schema: bool,
}

/// What of other programs' users is taken over: the name, the hash, whether they may sign in, and when they were made. Ids
/// are kept where they are UUIDs. Each gets the scope user.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// shild's own: one JSON object a line.
    Shild,
    /// The table auth.users as CSV or JSON: email (else phone), encrypted_password; banned and unconfirmed users are
    /// disabled, deleted and anonymous ones left out.
    Supabase,
    /// manage.py dumpdata auth.user, or the table as CSV: username (else email), password; inactive users are disabled.
    Django,
    /// The table of an auth collection as CSV or JSON (sqlite3 -json): email (else username), password or passwordHash.
    Pocketbase,
    /// The table user as CSV or JSON: email, hashed_password; inactive users are disabled.
    FastapiUsers,
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Shild => Self::Shild,
            FormatArg::Supabase => Self::Supabase,
            FormatArg::Django => Self::Django,
            FormatArg::Pocketbase => Self::PocketBase,
            FormatArg::FastapiUsers => Self::FastapiUsers,
        }
    }
}

/// Takes users in, and says how many; fails if any was refused.
pub(super) fn run(sources: &Sources, args: &ImportArgs) -> Result<(), Failure> {
    let file = match &args.file {
        Some(file) if !args.schema => file,
        _ => return Ok(print(&format!("{}\n", serde_json::to_string_pretty(&schema())?))?),
    };
    let input = open(file)?;
    let options = ImportOptions {
        format: args.format.into(),
        dry_run: args.dry_run,
        admins: args.admins,
    };
    let door = if args.dry_run {
        Door::open_or_pretend(sources)?
    } else {
        Door::open_or_make(sources)?
    };
    let bar = input.bar.clone();
    let done = door.import(Box::new(input), options);
    bar.finish_and_clear();
    let closed = door.close();
    let report = done?;
    closed?;
    show(&report, args.json)?;
    match (report.refused, report.dry_run) {
        (0, _) => Ok(()),
        (n, true) => Err(format!("{n} would be refused").into()),
        (1, false) => Err("1 was refused".into()),
        (n, false) => Err(format!("{n} were refused").into()),
    }
}

fn show(report: &ImportReport, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(print(&format!("{}\n", serde_json::to_string(report)?))?);
    }
    for refusal in &report.refusals {
        complain(&refusal.to_string());
    }
    let listed = report.refusals.len() as u64;
    if report.refused > listed {
        complain(&format!("and {} more", report.refused - listed));
    }
    let conditional = if report.dry_run { "would be: " } else { "" };
    Ok(print(&format!("{conditional}{report}\n"))?)
}

/// The input, with a progress bar where somebody is looking.
struct Input {
    from: Box<dyn Read + Send>,
    bar: ProgressBar,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

fn open(path: &Path) -> Result<Input, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Input {
            from: Box::new(io::stdin()),
            bar: progress::counter("bytes"),
        });
    }
    let cannot = |error: io::Error| format!("{}: cannot be read: {error}", path.display());
    let file = File::open(path).map_err(cannot)?;
    let bar = progress::bar("bytes");
    bar.set_length(file.metadata().map_err(cannot)?.len());
    Ok(Input {
        from: Box::new(file),
        bar,
    })
}
