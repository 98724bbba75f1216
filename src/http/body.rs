//! Reading a body, and no more of it than is allowed.

use rocket::data::{Data, ToByteUnit};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// The longest body, in bytes.
pub(crate) const LIMIT: usize = 8 * 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than [`LIMIT`] (requirement H9).
    TooLarge,
    /// The connection failed.
    Broken,
}

/// The whole body, wiped from memory when it is dropped: there may be a password in it.
pub(crate) async fn read(data: Data<'_>) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    match data.open((LIMIT + 1).bytes()).read_to_end(&mut bytes).await {
        Ok(n) if n <= LIMIT => Ok(bytes),
        Ok(_) => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}
