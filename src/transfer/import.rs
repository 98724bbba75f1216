//! Moving in: users from an export of shild's own or of another program, with the hashes that they have.
//!
//! The input is read once, in bounded memory: at most [`MAX_RECORD`] bytes of it for one user, and some hundred users at a
//! time; of each user added, the id is remembered. What cannot be taken over is reported with the line that it is on, and
//! the rest goes in.
//!
//! # Twice changes nothing
//! A user is there already, and passed over, if the store has one with the same id; or with the same name and either the
//! same hash or, to the millisecond, the same time of creation. So a second run of the same file adds nothing, also when
//! people have signed in, and got other hashes, between the two. A name that somebody else has is refused.
//!
//! # Sessions
//! Sessions go in with the users that they belong to, never alone: a session that has been ended in the meantime must not
//! come back to life.

mod apply;
mod dry;
mod formats;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod records;
mod report;

use std::io::BufRead;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use self::apply::Apply;
pub use self::formats::{Format, UnknownFormat};
use self::formats::{Item, Reader};
pub use self::records::MAX_RECORD;
use self::records::Records;
use self::report::Place;
pub use self::report::{Added, ImportReport, MAX_REFUSALS, Refusal};
use crate::audit::{Actor, AuditKind};
use crate::error::{Error, Problem};
use crate::origin::Origin;
use crate::shild::Shild;
use crate::user::Username;

/// How many items are put into the store at once: as many as its writer takes into one transaction.
const BATCH: usize = 512;

/// About how many bytes of input a batch is made of at most.
const BATCH_BYTES: usize = 4 * MAX_RECORD;

/// What is to be taken in, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whose export it is.
    pub format: Format,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Whether those who may do everything in the other program get the scope `admin`. An export of shild's own says by
    /// itself who has which scope.
    pub admins: bool,
}

/// An item, or why there is none, and where it begins.
type Numbered = (Place, Result<Item, String>);

impl Shild {
    /// Takes users in.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] if the store fails; what had been added until then stays. Everything that is wrong with the
    /// input stands in the report.
    pub async fn import(
        &self,
        input: impl BufRead + Send + 'static,
        options: ImportOptions,
        actor: Actor,
        origin: &Origin,
    ) -> Result<ImportReport, Error> {
        let reader = Reader {
            options,
            max_username: match options.format {
                // Those of another shild, or of this one from before its setting was lowered.
                Format::Shild => Username::MOST_LENGTH,
                _ => self.settings.username.max_length,
            },
            now: self.now(),
        };
        let (sender, mut batches) = mpsc::channel(2);
        let (done, read_all) = oneshot::channel();
        // A thread of its own: each of those that may block waits for its turn, and applying a batch needs one of them.
        let reading = thread::Builder::new().name("shild-import".to_owned()).spawn(move || {
            read(input, reader, &sender);
            // If nobody waits for it any more, that is how it is.
            let _ = done.send(());
        });
        reading.map_err(|error| {
            tracing::warn!(cause = %error, "no thread can be had to read an import with");
            Error::busy("The server has no room for an import at this moment.")
        })?;
        if !options.dry_run {
            // However it ends, that it began is known.
            let detail = format!("format {}: begun", options.format);
            self.audit(AuditKind::Imported, actor.clone(), origin, |event| {
                event.detail = Some(detail);
            })
            .await?;
        }
        let mut report = ImportReport::new(options.dry_run);
        let mut apply = Apply::new(self, options.dry_run).await?;
        while let Some(batch) = batches.recv().await {
            apply.batch(batch, &mut report).await?;
        }
        if read_all.await.is_err() {
            tracing::error!("reading an import broke off");
            return Err(Error::new(Problem::Internal, "The server could not do this."));
        }
        apply.finish(&mut report);
        if !options.dry_run {
            let detail = format!("format {}: {report}", options.format);
            self.audit(AuditKind::Imported, actor, origin, |event| event.detail = Some(detail))
                .await?;
        }
        Ok(report)
    }
}

/// Reads the input to its end, or until nobody wants more of it.
fn read(input: impl BufRead, reader: Reader, batches: &mpsc::Sender<Vec<Numbered>>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for record in Records::new(input, reader.options.format.may_be_csv()) {
        bytes += record.bytes;
        batch.push((record.place, record.content.and_then(|content| reader.read(content))));
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return;
            }
        }
    }
    // If nobody wants it, it is not wanted.
    let _ = batches.blocking_send(batch);
}
