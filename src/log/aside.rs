//! Lines that are written aside: whoever logs puts them into memory, and a thread of their own writes them.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many bytes may wait for whoever does not take them, besides those that are being written.
pub(super) const MAX_WAITING: usize = 4 << 20;

/// How long the thread rests after it has written all there was.
const PAUSE: Duration = Duration::from_millis(10);

/// How much memory for lines is kept while there are none.
const KEPT: usize = 64 << 10;

/// How long the end waits for what is still to be written.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Where lines wait.
#[derive(Clone)]
pub(super) struct Aside(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Told to the thread when a line comes while it waits for one, and when it is to end.
    news: Condvar,
    /// Told to whoever ends it.
    ended: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// How many lines there was no room for.
    dropped: usize,
    /// Whether the thread waits for a line. While it writes or rests nobody has to wake it: under load that and a system call
    /// for each line took a seventh of what a request cost.
    idle: bool,
    ending: bool,
    has_ended: bool,
}

impl Aside {
    /// Starts the thread, which writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            news: Condvar::new(),
            ended: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("shild-log".to_owned())
            .spawn(move || theirs.write_to(out))?;
        Ok(Self(shared))
    }

    /// How many lines were lost because they were not taken in time.
    pub(super) fn dropped(&self) -> usize {
        self.0.waiting().dropped
    }

    /// Writes what waits, for one second at most, and ends the thread.
    pub(super) fn end(&self) {
        let mut waiting = self.0.waiting();
        waiting.ending = true;
        self.0.news.notify_one();
        // Whoever does not take it in time does not get it.
        drop(
            self.0
                .ended
                .wait_timeout_while(waiting, LAST_WAIT, |waiting| !waiting.has_ended),
        );
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        let mut cut = false;
        while self.next(&mut lines) {
            if cut {
                lines.insert(0, b'\n');
            }
            let taken = self.put(&mut out, &lines);
            let lost = &lines[taken..];
            let ended = lost.iter().filter(|byte| **byte == b'\n').count();
            if taken > 0 {
                cut = !lost.is_empty() && lines[taken - 1] != b'\n';
                self.waiting().dropped += ended;
            } else {
                // The first line break was put before them.
                self.waiting().dropped += ended - usize::from(cut);
            }
            lines.clear();
            lines.shrink_to(KEPT);
            self.rest(PAUSE);
        }
        self.waiting().has_ended = true;
        self.ended.notify_all();
    }

    /// Writes as much of this as is taken; how many bytes. Whoever takes nothing for now is waited for until the end.
    fn put(&self, out: &mut impl Write, lines: &[u8]) -> usize {
        let mut taken = 0;
        while taken < lines.len() {
            match out.write(&lines[taken..]) {
                Ok(0) => break,
                Ok(len) => taken += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.waiting().ending => self.rest(PAUSE),
                // There is nobody to tell.
                Err(_) => break,
            }
        }
        taken
    }

    /// Rests, at most until it is to end.
    fn rest(&self, pause: Duration) {
        drop(
            self.news
                .wait_timeout_while(self.waiting(), pause, |waiting| !waiting.ending),
        );
    }

    /// Waits for lines and takes them all; `false` at the end. One that comes alone is taken at once; those that come within a
    /// pause after others gather meanwhile.
    fn next(&self, lines: &mut Vec<u8>) -> bool {
        let mut waiting = self.waiting();
        waiting.idle = true;
        waiting = self
            .news
            .wait_while(waiting, |waiting| waiting.lines.is_empty() && !waiting.ending)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.idle = false;
        mem::swap(lines, &mut waiting.lines);
        !lines.is_empty()
    }
}

impl<'a> MakeWriter<'a> for Aside {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Aside {
    /// Takes one whole line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting();
        if waiting.lines.len() + line.len() > MAX_WAITING {
            waiting.dropped += 1;
        } else {
            waiting.lines.extend_from_slice(line);
            if mem::take(&mut waiting.idle) {
                drop(waiting);
                self.0.news.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Gives each piece that is written to a channel, and takes none before it is told to.
    struct Slow(mpsc::Sender<Vec<u8>>, mpsc::Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.recv().map_err(io::Error::other)?;
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Aside, mpsc::Receiver<Vec<u8>>, mpsc::Sender<()>) {
        let ((pieces, written), (go, told)) = (mpsc::channel(), mpsc::channel());
        (Aside::start(Slow(pieces, told)).unwrap(), written, go)
    }

    fn piece(written: &mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
        written.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn log(aside: &Aside, line: &[u8]) {
        let mut aside = aside;
        aside.write_all(line).unwrap();
    }

    #[test]
    fn a_line_that_comes_alone_is_written_at_once_and_those_that_come_meanwhile_together() {
        let (aside, written, go) = slow();
        // Nobody looks for a line by itself.
        while !aside.0.waiting().idle {
            thread::yield_now();
        }
        log(&aside, b"first\n");
        // It is being written now, or else all three would come in one.
        while !aside.0.waiting().lines.is_empty() {
            thread::yield_now();
        }
        log(&aside, b"second\n");
        log(&aside, b"third\n");
        for lines in [&b"first\n"[..], b"second\nthird\n"] {
            go.send(()).unwrap();
            assert_eq!(piece(&written), lines);
        }
        assert_eq!(aside.dropped(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_whole_and_counted() {
        let (aside, written, go) = slow();
        log(&aside, b"first\n");
        while !aside.0.waiting().lines.is_empty() {
            thread::yield_now();
        }
        let line = vec![b'x'; 1 << 20];
        for _ in 0..6 {
            log(&aside, &line);
        }
        assert_eq!(aside.dropped(), 2);
        for len in [6, MAX_WAITING] {
            go.send(()).unwrap();
            assert_eq!(piece(&written).len(), len);
        }
        log(&aside, b"last\n");
        go.send(()).unwrap();
        assert_eq!(piece(&written), b"last\n", "it goes on");
    }

    /// Does each time as the next of these says, and then takes everything.
    struct Moody(std::vec::IntoIter<Result<usize, io::ErrorKind>>, mpsc::Sender<Vec<u8>>);

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = self.0.next().unwrap_or(Ok(bytes.len())).map_err(io::Error::from)?;
            self.1.send(bytes[..len].to_vec()).map_err(io::Error::other)?;
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_not_taken_for_now_is_written_later_and_what_cannot_be_written_is_counted() {
        let moods = vec![
            Ok(2),
            Err(io::ErrorKind::WouldBlock),
            Err(io::ErrorKind::Interrupted),
            Ok(4),
            Ok(3),
            Err(io::ErrorKind::StorageFull),
            Err(io::ErrorKind::StorageFull),
        ];
        let (pieces, written) = mpsc::channel();
        let aside = Aside::start(Moody(moods.into_iter(), pieces)).unwrap();
        log(&aside, b"first\n");
        let first: Vec<u8> = (0..2).flat_map(|_| piece(&written)).collect();
        assert_eq!(first, b"first\n");
        log(&aside, b"second\n");
        assert_eq!(piece(&written), b"sec");
        while aside.dropped() == 0 {
            thread::yield_now();
        }
        log(&aside, b"third\n");
        while aside.dropped() == 1 {
            thread::yield_now();
        }
        log(&aside, b"fourth\n");
        assert_eq!(piece(&written), b"\nfourth\n", "a line of its own");
        assert_eq!(aside.dropped(), 2);
    }

    #[test]
    fn the_end_waits_for_what_waits_and_not_for_ever() {
        let (aside, written, go) = slow();
        log(&aside, b"last\n");
        go.send(()).unwrap();
        aside.end();
        assert_eq!(written.try_recv().unwrap(), b"last\n");

        let (aside, _written, _go) = slow();
        log(&aside, b"never taken\n");
        aside.end();
    }

    #[test]
    fn no_line_is_lost_or_broken_whoever_logs() {
        let ((pieces, written), (go, told)) = (mpsc::channel(), mpsc::channel());
        for _ in 0..10_000 {
            go.send(()).unwrap();
        }
        let aside = Aside::start(Slow(pieces, told)).unwrap();
        thread::scope(|scope| {
            for thread in 0..4 {
                let aside = &aside;
                scope.spawn(move || (0..1000).for_each(|n| log(aside, format!("{thread} {n}\n").as_bytes())));
            }
        });
        aside.end();
        let all: Vec<u8> = written.try_iter().flatten().collect();
        let mut next = [0; 4];
        for line in String::from_utf8(all).unwrap().lines() {
            let (thread, n) = line.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(n.parse::<usize>().unwrap(), *next);
            *next += 1;
        }
        assert_eq!(next, [1000; 4]);
    }
}
