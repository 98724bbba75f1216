//! `shild export FILE`

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use shild::config::Sources;
use shild::transfer::line::End;
use shild::transfer::{Line, schema};
use tempfile::NamedTempFile;

use super::door::Door;
use super::progress;
use super::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write, whole or not at all; - for standard output.
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// With the sessions.
    #[arg(long)]
    sessions: bool,
    /// With the audit log.
    #[arg(long)]
    audit: bool,
    /// Print the JSON Schema of a line instead.
    #[arg(long, conflicts_with_all = ["file", "sessions", "audit"])]
    schema: bool,
}

/// Writes everything that is kept, one JSON object a line.
pub(super) fn run(sources: &Sources, args: &ExportArgs) -> Result<(), Failure> {
    let file = match &args.file {
        Some(file) if !args.schema => file,
        _ => return Ok(print(&format!("{}\n", serde_json::to_string_pretty(&schema())?))?),
    };
    let door = Door::open(sources)?;
    let path = format!("/export?sessions={}&audit={}", args.sessions, args.audit);
    if file.as_os_str() == "-" {
        return match copy(&door, &path, &mut io::stdout().lock()) {
            // A reader that went away has read all it wanted.
            Err(failure) if is_broken_pipe(&*failure) => Ok(()),
            copied => copied.and_then(|_| door.close()),
        };
    }
    let copied = to_file(file, |out| copy(&door, &path, out))?;
    door.close()?;
    let End {
        users,
        sessions,
        events,
    } = copied;
    Ok(print(&format!(
        "{users} users, {sessions} sessions, {events} events\n"
    ))?)
}

/// Copies the export to `out`, and makes sure that it is whole.
fn copy(door: &Door, path: &str, out: &mut dyn Write) -> Result<End, Failure> {
    let bar = progress::counter("lines");
    let mut last = LastLine::default();
    door.stream(path, |bytes| {
        bar.inc(last.after(bytes));
        Ok(out.write_all(bytes)?)
    })?;
    out.flush()?;
    bar.finish_and_clear();
    match serde_json::from_slice(&last.whole) {
        Ok(Line::End(end)) => Ok(end),
        _ => Err("the export broke off before its end; the log of the server says why".into()),
    }
}

/// Makes the file with what `write` puts in, on disk and readable for its owner only. Until it is whole, whatever is
/// there stays. A link to something is followed, and what is no file, a device or a pipe, is written to as it is.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<End, Failure>) -> Result<End, Failure> {
    let refused = |error: io::Error| Failure::from(format!("{} cannot be written: {error}", path.display()));
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file() && !there.is_dir()) {
        let mut out = BufWriter::new(File::options().write(true).open(path).map_err(refused)?);
        return write(&mut out);
    }
    let path = &match there {
        Some(_) => fs::canonicalize(path).map_err(refused)?,
        None => path.to_owned(),
    };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut draft = NamedTempFile::new_in(dir).map_err(refused)?;
    let end = {
        let mut out = BufWriter::new(draft.as_file_mut());
        write(&mut out)?
    };
    draft.as_file().sync_all().map_err(refused)?;
    draft.persist(path).map_err(|error| refused(error.error))?;
    // Only Unix lets a directory be opened and synced; elsewhere the file system does it.
    if cfg!(unix) {
        let dir = fs::canonicalize(dir).and_then(File::open);
        dir.and_then(|dir| dir.sync_all()).map_err(refused)?;
    }
    Ok(end)
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The last line of what goes by, in pieces that end anywhere.
#[derive(Default)]
struct LastLine {
    /// The last line that has its end.
    whole: Vec<u8>,
    /// What has come of the next one.
    begun: Vec<u8>,
}

impl LastLine {
    /// Looks at the next piece; how many lines end in it.
    fn after(&mut self, bytes: &[u8]) -> u64 {
        let mut ended = 0;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.whole = std::mem::take(&mut self.begun);
                ended += 1;
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_found_however_it_is_cut() {
        let text = b"first\nsecond\nlast\n";
        for len in 1..=text.len() {
            let mut last = LastLine::default();
            let lines: u64 = text.chunks(len).map(|piece| last.after(piece)).sum();
            assert_eq!((lines, last.whole.as_slice()), (3, &b"last\n"[..]));
        }
        let mut last = LastLine::default();
        last.after(b"first\nsecond");
        assert_eq!(last.whole, b"first\n");
    }

    #[test]
    fn a_file_is_replaced_only_by_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export");
        fs::write(&path, "old").unwrap();
        let failed = to_file(&path, |out| {
            out.write_all(b"half")?;
            Err("no more".into())
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");

        let written = to_file(&path, |out| {
            out.write_all(b"new")?;
            out.flush()?;
            Ok(End::default())
        });
        assert_eq!(written.unwrap(), End::default());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    // Failed before: whatever it was, a file was put in its place.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let newest = |out: &mut dyn Write| {
            out.write_all(b"newest")?;
            out.flush()?;
            Ok(End::default())
        };
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("export"), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        to_file(&link, newest).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "newest");

        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        to_file(&pipe, newest).unwrap();
        assert_eq!(reader.join().unwrap(), "newest");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }
}
