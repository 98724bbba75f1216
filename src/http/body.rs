//! Reading a body: no more of it than is allowed, and no longer than the client is waited for.

use std::io;
use std::time::Duration;

use rocket::Request;
use rocket::data::{Data, DataStream, ToByteUnit};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::passing::Passing;
use crate::server::Chunks;
use crate::shild::Shild;

/// The longest body, in bytes.
pub(crate) const LIMIT: usize = 8 * 1024;

/// How much is read of Rocket at once.
const PIECE: usize = 16 * 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than [`LIMIT`] (requirement H9).
    TooLarge,
    /// It did not come in time (requirement H9).
    TooSlow,
    /// The connection failed.
    Broken,
}

/// The whole body, wiped from memory when it is dropped: there may be a password in it.
pub(crate) async fn read(request: &Request<'_>, data: Data<'_>) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let patience = patience(request);
    let read = async {
        let mut body = Pieces::of(request, data);
        if body.is_late() {
            return Err(BodyError::TooSlow);
        }
        if body.left().is_some_and(|left| left > LIMIT as u64) {
            return Err(BodyError::TooLarge);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(piece) = body.any().await.map_err(|_| BodyError::Broken)?.map(Zeroizing::new) {
            if bytes.len() + piece.len() > LIMIT {
                return Err(BodyError::TooLarge);
            }
            // Room for all there may be, so that no smaller copy of it is left behind.
            let room = LIMIT - bytes.len();
            bytes.reserve_exact(room);
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    tokio::time::timeout(patience, read)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

fn patience(request: &Request<'_>) -> Duration {
    let shild = request.rocket().state::<Shild>();
    shild.map_or(Duration::MAX, |shild| shild.settings().request_timeout.duration())
}

/// A body of any length, piece by piece.
pub(crate) struct Pieces<'r> {
    source: Source<'r>,
    patience: Duration,
}

enum Source<'r> {
    /// From shild's own server.
    Server(Chunks),
    Rocket(Box<DataStream<'r>>),
}

impl<'r> Pieces<'r> {
    pub(crate) fn of(request: &Request<'_>, data: Data<'r>) -> Self {
        let source = match Passing::of(request).take_body() {
            Some(chunks) => Source::Server(chunks),
            // Rocket wants a limit. What bounds this one is that it is read a piece at a time.
            None => Source::Rocket(Box::new(data.open(u64::MAX.bytes()))),
        };
        Self {
            source,
            patience: patience(request),
        }
    }

    /// The same, with pieces that may take as long as they want: for whoever is on this host, and may be waiting for another program.
    pub(crate) fn unhurried(self) -> Self {
        Self {
            patience: Duration::MAX,
            ..self
        }
    }

    fn is_late(&self) -> bool {
        matches!(&self.source, Source::Server(chunks) if chunks.is_late())
    }

    /// How long it says that it is.
    fn left(&self) -> Option<u64> {
        match &self.source {
            Source::Server(chunks) => chunks.left(),
            Source::Rocket(_) => None,
        }
    }

    /// The next piece, if it comes in time; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let patience = self.patience;
        let late = |_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the next piece of the body did not come in time",
            )
        };
        tokio::time::timeout(patience, self.any()).await.map_err(late)?
    }

    /// The next piece, whenever it comes.
    async fn any(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.source {
            Source::Server(chunks) => Ok(chunks.next().await?.map(Vec::from)),
            Source::Rocket(stream) => {
                let mut piece = Vec::with_capacity(PIECE);
                let len = stream.read_buf(&mut piece).await?;
                Ok((len > 0).then_some(piece))
            }
        }
    }
}
