//! What stands between the socket and hyper: a head passes when it is whole and says one thing.
//!
//! Nothing behind a head passes before it is known where its message ends, so hyper cannot take for a head what was not
//! looked at. In place of a head that is refused hyper gets one that [`Refusal::behind`] knows, and then the end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Patience;
use super::head::{self, Body, Head};
use super::pulse::Pulse;

#[cfg(doc)]
use super::head::Refusal;

/// How much of a head is read at once.
const PIECE: usize = 2 * 1024;

/// How much is read, in bytes, after the last answer.
const UNREAD: usize = 1 << 20;

/// A body up to this length, in bytes, is waited for before hyper hears of its request: as long as those that are taken whole.
const SHORT: u64 = crate::http::body::LIMIT as u64;

pub(super) struct Gate<S = TcpStream> {
    socket: S,
    /// What has been read and has not passed.
    held: Vec<u8>,
    /// How much of it may pass.
    free: usize,
    next: Next,
    /// Whether the body that comes next is short, and comes by itself.
    short: bool,
    /// How much is still read after the last answer.
    unread: usize,
    /// Whether the client has said that it sends no more.
    at_end: bool,
    pulse: Arc<Pulse>,
}

/// What has come of the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// No whole head in time: that is nobody's business.
    Nothing,
    /// A head, and of its short body not all in time: that is the business of its route.
    Late,
    There,
}

/// What comes after that which may pass.
#[derive(Clone, Copy, Debug)]
enum Next {
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// Whatever there is until the connection ends.
    Rest,
    /// Nothing.
    End,
}

impl<S: AsyncRead + Unpin> Gate<S> {
    pub(super) fn new(socket: S, pulse: Arc<Pulse>) -> Self {
        Self {
            socket,
            held: Vec::new(),
            free: 0,
            next: Next::Head,
            short: false,
            unread: UNREAD,
            at_end: false,
            pulse,
        }
    }

    /// Waits for the first request, and for its body if that is short. Until then a connection costs no more than what has come of
    /// it: none of hyper's buffers, and nothing of Rocket.
    pub(super) async fn first_request(&mut self, patience: Patience) -> First {
        let begins = poll_fn(|context| self.poll_piece(context));
        if !matches!(timeout(patience.idle, begins).await, Ok(Ok(()))) || self.held.is_empty() {
            return First::Nothing;
        }
        let head = poll_fn(|context| self.poll_head(context));
        if !matches!(timeout(patience.request, head).await, Ok(Ok(true))) {
            return First::Nothing;
        }
        self.rest_of_first(patience).await
    }

    /// The same, once the head is there; where it is not, nothing is waited for.
    pub(super) async fn rest_of_first(&mut self, patience: Patience) -> First {
        if self.free == 0 {
            return First::Nothing;
        }
        let in_time = timeout(patience.request, self.short_body()).await;
        self.pulse.ended();
        if in_time.is_ok() { First::There } else { First::Late }
    }

    /// Waits for the body behind the head that may pass, if that is short, or for the end of the connection.
    async fn short_body(&mut self) {
        let Next::Body(len) = self.next else { return };
        let whole = usize::try_from(len).map_or(usize::MAX, |len| self.free.saturating_add(len));
        while self.short && self.held.len() < whole {
            let before = self.held.len();
            let read = poll_fn(|context| self.poll_piece(context)).await;
            if read.is_err() || self.held.len() == before {
                return;
            }
        }
    }

    /// Lets pass what may, at most as much as `out` takes.
    fn pass(&mut self, out: &mut ReadBuf<'_>) {
        let len = self.free.min(out.remaining());
        out.put_slice(&self.held[..len]);
        self.held.drain(..len);
        self.free -= len;
        if self.held.is_empty() {
            // Thousands of connections may wait for their next request.
            self.held = Vec::new();
        }
    }

    /// Reads on until a head is whole or refused; `false` at the end of the connection.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if !self.held.is_empty() {
                match head::look(&self.held) {
                    Head::Partial => self.pulse.began(),
                    Head::Whole(len, body) => {
                        self.pulse.ended();
                        self.free = len;
                        self.short = matches!(body, Body::Sized(len) if len <= SHORT);
                        self.next = match body {
                            Body::Sized(0) => Next::Head,
                            Body::Sized(len) | Body::Announced(len) => Next::Body(len),
                            Body::Chunked => Next::Rest,
                        };
                        return Poll::Ready(Ok(true));
                    }
                    Head::Refused(refusal) => {
                        self.pulse.ended();
                        self.held = refusal.in_place(self.held.starts_with(b"HEAD "));
                        self.free = self.held.len();
                        self.next = Next::End;
                        return Poll::Ready(Ok(true));
                    }
                }
            }
            // A head ends with a line, so nothing is to be looked at before.
            loop {
                let before = self.held.len();
                ready!(self.poll_piece(context))?;
                let piece = &self.held[before..];
                if piece.is_empty() {
                    return Poll::Ready(Ok(false));
                }
                self.pulse.began();
                if piece.contains(&b'\n') || self.held.len() >= head::MAX_LEN {
                    break;
                }
            }
        }
    }

    /// Reads what comes after a refusal, and forgets it. To hyper it looks as if nothing came; the end would make it drop the
    /// request in hand.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_forget(context))?;
        Poll::Pending
    }

    /// Reads what is not of interest any more.
    fn poll_forget(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; PIECE];
        while self.unread > 0 && !self.at_end {
            let mut piece = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut piece))?;
            self.at_end = piece.filled().is_empty();
            self.unread = self.unread.saturating_sub(piece.filled().len());
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece to what is held; nothing, at the end of the connection.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; PIECE];
        let mut piece = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut piece))?;
        self.at_end = piece.filled().is_empty();
        self.held.extend_from_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if gate.free > 0 {
                gate.pass(out);
                return Poll::Ready(Ok(()));
            }
            match gate.next {
                Next::End => return gate.poll_rest(context),
                Next::Head => {
                    if !ready!(gate.poll_head(context))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Next::Body(0) => gate.next = Next::Head,
                Next::Body(left) if gate.held.is_empty() => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.remaining());
                    let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut gate.socket).poll_read(context, &mut part))?;
                    let read = part.filled().len();
                    gate.at_end = read == 0;
                    out.advance(read);
                    gate.next = Next::Body(left - read as u64);
                    return Poll::Ready(Ok(()));
                }
                Next::Body(left) => {
                    gate.free = usize::try_from(left).unwrap_or(usize::MAX).min(gate.held.len());
                    gate.next = Next::Body(left - gate.free as u64);
                }
                Next::Rest if gate.held.is_empty() => return Pin::new(&mut gate.socket).poll_read(context, out),
                Next::Rest => gate.free = gate.held.len(),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Says that there are no more answers, and reads what the client still sends until it has seen that and goes: a connection
    /// that is closed with something unread is reset, and what is on the way to the client is lost.
    pub(super) async fn leave(mut self) {
        if self.socket.shutdown().await.is_ok() {
            // An error is the end as well.
            let _ = poll_fn(|context| self.poll_forget(context)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What passes of this, however large the buffer is that asks.
    fn passed(sent: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            for size in [1, 7, 4096] {
                let mut gate = Gate::new(sent.as_bytes(), Arc::new(Pulse::new()));
                let (mut now, mut space) = (Vec::new(), vec![0; size]);
                loop {
                    // After a refusal nothing more comes, and no end.
                    let read = futures_util::FutureExt::now_or_never(gate.read(&mut space));
                    let Some(n) = read.transpose().unwrap().filter(|n| *n > 0) else {
                        break;
                    };
                    now.extend_from_slice(&space[..n]);
                }
                assert!(all.is_empty() || all == now);
                all = now;
            }
            String::from_utf8(all).unwrap()
        })
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    // H10
    #[test]
    fn what_is_sound_passes_as_it_is() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na\r\n\r\n";
        let text = format!("{GET}{post}{GET}");
        assert_eq!(passed(&text), text);
        let chunked =
            format!("{GET}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
        assert_eq!(passed(&chunked), chunked);
    }

    // H10
    #[test]
    fn nothing_passes_after_a_head_that_is_refused() {
        let bad = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = passed(&format!("{GET}{bad}{GET}"));
        let after = text.strip_prefix(GET).unwrap();
        assert!(
            after.starts_with("GET /-refused-/") && !after.contains("POST"),
            "{after}"
        );
    }

    // H10
    #[test]
    fn a_head_in_a_body_is_no_head() {
        let bad = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        let text = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{bad}{GET}",
            bad.len()
        );
        assert_eq!(passed(&text), text);
    }

    // H9
    #[test]
    fn what_never_ends_a_line_is_not_read_for_ever() {
        let text = passed(&"a".repeat(2 * head::MAX_LEN));
        assert!(text.starts_with("GET /-refused-/"), "{text}");
    }

    // H9
    #[test]
    fn so_much_is_read_after_a_refusal_and_no_more() {
        let sent = ["bad\r\n\r\n".to_owned(), "a".repeat(2 * UNREAD)].concat();
        let mut gate = Gate::new(sent.as_bytes(), Arc::new(Pulse::new()));
        let mut space = vec![0; 4096];
        while futures_util::FutureExt::now_or_never(gate.read(&mut space)).is_some() {}
        assert!(gate.socket.len() >= UNREAD - 2 * PIECE, "{}", gate.socket.len());
    }

    #[test]
    fn half_a_head_does_not_pass() {
        assert_eq!(passed("GET / HTTP/1.1\r\nHost: a\r\n"), "");
    }
}
