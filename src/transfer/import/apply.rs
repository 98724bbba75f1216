//! Puts what was read into the store, or finds out what would come of it.

use futures_util::future::join_all;

use super::Numbered;
use super::dry::Taken;
use super::formats::{Candidate, Item};
use super::report::{ImportReport, Outcome, Place};
use crate::audit::{AuditEvent, AuditFilter};
use crate::error::Error;
use crate::session::SessionRecord;
use crate::shild::Shild;
use crate::store::{Conflict, MAX_PAGE, StoreError};
use crate::transfer::line::End;
use crate::user::{EventId, UserId, UserRecord};

/// An import under way.
pub(super) struct Apply<'a> {
    shild: &'a Shild,
    /// Of a dry run.
    taken: Option<Taken>,
    added: AddedUsers,
    /// Where the export's header was.
    header: Option<Place>,
    /// Where its end was, and what that says.
    end: Option<(Place, End)>,
    /// How many lines of each kind there were.
    read: End,
}

impl<'a> Apply<'a> {
    pub(super) async fn new(shild: &'a Shild, dry_run: bool) -> Result<Self, Error> {
        let taken = if dry_run {
            Some(Taken::in_store(&*shild.store).await?)
        } else {
            None
        };
        Ok(Self {
            shild,
            taken,
            added: AddedUsers::default(),
            header: None,
            end: None,
            read: End::default(),
        })
    }

    /// Does what these items say. Users come before sessions, whatever stands first: sessions need them.
    pub(super) async fn batch(&mut self, batch: Vec<Numbered>, report: &mut ImportReport) -> Result<(), Error> {
        let (mut users, mut sessions, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for (place, item) in batch {
            match item {
                Ok(Item::User(user)) => users.push((place, *user)),
                Ok(Item::Session(session)) => sessions.push((place, *session)),
                Ok(Item::Event(event)) => events.push((place, *event)),
                Ok(Item::Header) => self.header = Some(place),
                Ok(Item::End(end)) => self.end = Some((place, end)),
                Ok(Item::LeftOut) => report.skipped += 1,
                Err(reason) => report.refuse(place, reason),
            }
        }
        self.read.users += users.len() as u64;
        self.read.sessions += sessions.len() as u64;
        self.read.events += events.len() as u64;
        self.users(&users, report).await?;
        self.sessions(&sessions, report).await?;
        self.events(&events, report).await
    }

    /// Says what is missing at the end.
    pub(super) fn finish(&self, report: &mut ImportReport) {
        match (self.header, self.end) {
            (Some(place), None) => {
                let reason =
                    "the export that begins here has no end: it has been cut off; what there is of it was read";
                report.refuse(place, reason.to_owned());
            }
            // Refused lines are told one by one.
            (_, Some((place, end))) if report.refused == 0 && end != self.read => {
                let reason = "the export's end counts other lines than there are: some were lost or added";
                report.refuse(place, reason.to_owned());
            }
            _ => {}
        }
    }

    async fn users(&mut self, users: &[(Place, Candidate)], report: &mut ImportReport) -> Result<(), Error> {
        if users.is_empty() {
            return Ok(());
        }
        let records: Vec<_> = users
            .iter()
            .map(|(_, user)| user.record(self.shild.now(), self.shild.random()))
            .collect();
        let outcomes = if let Some(taken) = &mut self.taken {
            let mut outcomes = Vec::with_capacity(users.len());
            for ((_, user), record) in users.iter().zip(&records) {
                outcomes.push(taken.add(&*self.shild.store, user, record).await);
            }
            outcomes
        } else {
            // One question for all: most imports go into a store without any sessions.
            let sessions = !self.shild.store.scan_sessions(None, 1).await?.is_empty();
            let pairs = users.iter().zip(&records);
            // Begun in this order, so that of two lines with one name the first one gets it.
            join_all(pairs.map(|((_, user), record)| add_user(self.shild, user, record, sessions))).await
        };
        for (((place, _), record), outcome) in users.iter().zip(&records).zip(outcomes) {
            if report.note(*place, outcome?) {
                report.added.users += 1;
                self.added.insert(record.id);
            }
        }
        Ok(())
    }

    async fn sessions(&mut self, sessions: &[(Place, SessionRecord)], report: &mut ImportReport) -> Result<(), Error> {
        let dry_run = self.taken.is_some();
        if sessions.is_empty() {
            return Ok(());
        }
        let added = self.added.in_order();
        let outcomes = join_all(sessions.iter().map(|(_, session)| async {
            if added.binary_search(&session.user_id).is_err() {
                Ok(Outcome::Skipped)
            } else if dry_run {
                Ok(Outcome::Added)
            } else {
                once(self.shild.store.open_session(session, &[]).await)
            }
        }));
        for ((place, _), outcome) in sessions.iter().zip(outcomes.await) {
            if report.note(*place, outcome?) {
                report.added.sessions += 1;
            }
        }
        Ok(())
    }

    async fn events(&self, events: &[(Place, AuditEvent)], report: &mut ImportReport) -> Result<(), Error> {
        let dry_run = self.taken.is_some();
        let outcomes = join_all(events.iter().map(|(_, event)| async {
            if dry_run {
                would_append(self.shild, event).await
            } else {
                once(self.shild.store.append_event(event).await)
            }
        }));
        for ((place, _), outcome) in events.iter().zip(outcomes.await) {
            if report.note(*place, outcome?) {
                report.added.events += 1;
            }
        }
        Ok(())
    }
}

/// The users added in this run: sixteen bytes each, for there may be millions of them.
#[derive(Default)]
struct AddedUsers {
    ids: Vec<UserId>,
    /// Whether they are in order.
    sorted: bool,
}

impl AddedUsers {
    fn insert(&mut self, id: UserId) {
        self.ids.push(id);
        self.sorted = false;
    }

    /// All of them in order. An export has them so, which the stable sort makes use of.
    fn in_order(&mut self) -> &[UserId] {
        if !self.sorted {
            self.ids.sort();
            self.sorted = true;
        }
        &self.ids
    }
}

/// What became of adding something that may be there already.
fn once(result: Result<(), StoreError>) -> Result<Outcome, Error> {
    match result {
        Ok(()) => Ok(Outcome::Added),
        Err(StoreError::Conflict(_)) => Ok(Outcome::Skipped),
        Err(error) => Err(error.into()),
    }
}

async fn add_user(
    shild: &Shild,
    user: &Candidate,
    record: &UserRecord,
    may_have_sessions: bool,
) -> Result<Outcome, Error> {
    if user.id.is_some() && may_have_sessions {
        if shild.store.find(record.id).await?.is_some() {
            return Ok(Outcome::Skipped);
        }
        end_left_over_sessions(shild, record.id).await?;
    }
    match shild.store.create(record, &[]).await {
        Ok(()) => Ok(Outcome::Added),
        Err(StoreError::Conflict(Conflict::Id)) => Ok(Outcome::Skipped),
        Err(StoreError::Conflict(Conflict::Username)) => {
            let there = shild.store.find_by_username(&user.username).await?;
            Ok(namesake(there.is_some_and(|there| is_same(user, &there))))
        }
        Err(StoreError::Conflict(Conflict::Confusable)) => Ok(confusable()),
        Err(error) => Err(error.into()),
    }
}

/// A deleted user's sessions may still be in the store: with the user they would come back to life (requirement P4).
async fn end_left_over_sessions(shild: &Shild, user: UserId) -> Result<(), Error> {
    loop {
        let sessions = shild.store.list_sessions(user, None, MAX_PAGE).await?;
        if sessions.is_empty() {
            return Ok(());
        }
        for session in sessions {
            shild.store.end_session(user, session.id, &[]).await?;
        }
    }
}

/// Whether a user of the same name is this one.
pub(super) fn is_same(user: &Candidate, there: &UserRecord) -> bool {
    user.password_hash == there.password_hash || user.created_at == Some(there.created_at)
}

/// What becomes of a user whose name is taken.
pub(super) fn namesake(same: bool) -> Outcome {
    if same {
        Outcome::Skipped
    } else {
        Outcome::Refused("the username is taken by another user".to_owned())
    }
}

/// What becomes of a user whose name looks like one that is taken.
pub(super) fn confusable() -> Outcome {
    Outcome::Refused("the username looks like one that is taken".to_owned())
}

async fn would_append(shild: &Shild, event: &AuditEvent) -> Result<Outcome, Error> {
    // The first event before the next id is this one, if it is there.
    let next = u128::from_be_bytes(*event.id.as_bytes()).checked_add(1);
    let next = next.map(|id| EventId::from_bytes(id.to_be_bytes()));
    let found = shild.store.list_events(&AuditFilter::default(), next, 1).await?;
    Ok(if found.first().is_some_and(|found| found.id == event.id) {
        Outcome::Skipped
    } else {
        Outcome::Added
    })
}
