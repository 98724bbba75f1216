//! What the writer puts into one transaction.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::change::Request;
use super::engine::{EngineError, Frozen};
use super::record::Tree;
use super::tally::Tally;
use super::transaction::{Base, Transaction};
use crate::store::StoreError;

/// The most requests in one transaction.
const MAX_BATCH: usize = 512;

/// Once a transaction is about this many records it takes no more requests: sled's memory grows
/// out of proportion with larger ones.
const MAX_WEIGHT: usize = 1000;

/// How far apart it is looked for more requests, and how long a request may wait for others.
const MOMENT: Duration = Duration::from_micros(50);
const MOMENTS: Duration = Duration::from_millis(1);

/// What an answer is: the number of records deleted, where that is asked for.
pub(super) type Answer = Result<usize, StoreError>;

#[expect(clippy::large_enum_variant, reason = "nearly every message is the large one")]
pub(super) enum Message {
    Change(Request, oneshot::Sender<Answer>),
    Freeze(Freezing),
    Close,
}

/// A request for trees as they are between two transactions.
pub(super) struct Freezing {
    pub(super) trees: Vec<Tree>,
    pub(super) answer: oneshot::Sender<Result<Vec<Box<dyn Frozen>>, StoreError>>,
}

/// What is done at once.
pub(super) struct Batch<'a> {
    pub(super) work: Work<'a>,
    /// To whom the results go.
    pub(super) answers: Vec<oneshot::Sender<Answer>>,
    /// Done after it.
    pub(super) freezes: Vec<Freezing>,
    weight: usize,
}

impl<'a> Batch<'a> {
    /// `first` and all that wait behind it. Those who had their answer in the `last` transaction are about to ask again, and the
    /// two syncs of a transaction cost the same for one as for all of them: so as long as more come, it waits for as many. Each
    /// is looked at as it comes, meanwhile.
    pub(super) fn gather(work: Work<'a>, first: Message, requests: &mut mpsc::Receiver<Message>, last: usize) -> Self {
        let start = Instant::now();
        Self::gather_while(work, first, requests, last, || {
            start.elapsed() < MOMENTS && {
                thread::sleep(MOMENT);
                true
            }
        })
    }

    /// `wait` lets a moment pass, and says whether there was one left.
    fn gather_while(
        work: Work<'a>,
        first: Message,
        requests: &mut mpsc::Receiver<Message>,
        last: usize,
        mut wait: impl FnMut() -> bool,
    ) -> Self {
        let mut batch = Self {
            work,
            answers: Vec::new(),
            freezes: Vec::new(),
            weight: 0,
        };
        batch.add(first, requests);
        loop {
            while !batch.is_full()
                && let Ok(next) = requests.try_recv()
            {
                batch.add(next, requests);
            }
            if batch.is_full() || batch.answers.len() >= last || !wait() || requests.is_empty() {
                return batch;
            }
        }
    }

    fn add(&mut self, message: Message, requests: &mut mpsc::Receiver<Message>) {
        match message {
            Message::Change(request, answer) => {
                self.weight += request.weight();
                self.work.add(&request);
                self.answers.push(answer);
            }
            Message::Freeze(request) => self.freezes.push(request),
            Message::Close => requests.close(),
        }
    }

    const fn is_full(&self) -> bool {
        self.answers.len() >= MAX_BATCH || self.weight >= MAX_WEIGHT
    }
}

/// What becomes of the changes of a batch, none of which is on disk yet.
pub(super) struct Work<'a> {
    pub(super) tx: Transaction<'a>,
    pub(super) tally: Tally,
    /// One for each change so far.
    pub(super) results: Vec<Answer>,
    /// Why none of them can be made.
    pub(super) failed: Result<(), Failed>,
}

/// Why none of the changes of a batch is made.
pub(super) enum Failed {
    /// Nothing is written at present.
    Halted(StoreError),
    /// The database has failed.
    Now(EngineError),
}

impl<'a> Work<'a> {
    /// `ready` says whether it can be written.
    pub(super) fn over(base: &'a dyn Base, tally: Tally, ready: Result<(), StoreError>) -> Self {
        Self {
            tx: Transaction::over(base),
            tally,
            results: Vec::new(),
            failed: ready.map_err(Failed::Halted),
        }
    }

    fn add(&mut self, change: &Request) {
        if self.failed.is_err() {
            return;
        }
        let before = self.tx.writes();
        match self.tx.attempt(|tx| change.apply(tx)) {
            Ok(result) => {
                self.results.push(result);
                self.tally.changes += u64::from(self.tx.writes() > before && change.counts());
            }
            Err(error) => self.failed = Err(Failed::Now(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Change;
    use super::*;

    struct Empty;

    impl Base for Empty {
        fn raw(&self, _: Tree, _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(None)
        }
    }

    fn probe(number: u64) -> Message {
        let request = Request {
            change: Change::Probe(number),
            events: Vec::new(),
        };
        Message::Change(request, oneshot::channel().0)
    }

    /// How many of those who come are in a batch behind the first, and how often it waited: so many are there already, and with
    /// each wait come so many more.
    fn gathered(last: usize, there: usize, come: &[usize]) -> (usize, usize) {
        let (queue, mut requests) = mpsc::channel(2 * MAX_BATCH);
        let send = |count| (0..count).for_each(|number| queue.try_send(probe(number as u64)).ok().unwrap());
        send(there);
        let mut waits = 0;
        let work = Work::over(&Empty, Tally::default(), Ok(()));
        let batch = Batch::gather_while(work, probe(0), &mut requests, last, || {
            let more = come.get(waits).copied();
            waits += 1;
            more.map(send).is_some()
        });
        assert_eq!(batch.work.results.len(), batch.answers.len());
        (batch.answers.len() - 1, waits)
    }

    #[test]
    fn it_waits_for_as_many_as_had_an_answer_as_long_as_more_come() {
        assert_eq!(gathered(0, 0, &[9]), (0, 0), "nobody is about to ask again");
        assert_eq!(gathered(1, 5, &[9]), (5, 0), "as many are there");
        assert_eq!(gathered(8, 2, &[3, 1, 1, 9]), (7, 3), "until there are as many");
        assert_eq!(gathered(8, 2, &[3, 0, 9]), (5, 2), "until none comes");
        assert_eq!(gathered(8, 2, &[1, 1]), (4, 3), "until there is no time left");
        assert_eq!(gathered(0, 2 * MAX_BATCH, &[]), (MAX_BATCH - 1, 0), "what fits");
    }
}
