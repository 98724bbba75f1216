//! Keyed hashes: BLAKE2b (RFC 7693 §2.9) and, for what is gone with the process, SipHash.

use blake2::Blake2bMac;
use blake2::digest::array::ArraySize;
use blake2::digest::consts::{U32, U64};
use blake2::digest::typenum::{IsLessOrEqual, True};
use blake2::digest::{FixedOutput, KeyInit, Output, Update};
use siphasher::sip128::SipHasher13;

/// The BLAKE2b MAC of the concatenated `parts`, `N` bytes long.
///
/// The parts are not told apart: whoever calls makes sure that no two inputs concatenate alike.
pub(super) fn keyed<N>(key: &[u8; 32], parts: &[&[u8]]) -> Output<Blake2bMac<N>>
where
    N: ArraySize + IsLessOrEqual<U64, Output = True>,
{
    let mut mac = Blake2bMac::<N>::new_from_slice(key).expect("32 bytes are a BLAKE2b key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize_fixed()
}

/// [`keyed`] with the 32 bytes that nearly everybody wants.
pub(super) fn keyed32(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    keyed::<U32>(key, parts).into()
}

/// The SipHash-1-3 of `bytes` with 128 bits: a keyed hash (Aumasson and Bernstein, 2012) of a tenth of BLAKE2b's cost. Whoever
/// knows neither the key nor any tag finds bytes with the tag of others only by chance, one request in 2^128. So tags of what is
/// secret are shown to nobody; as a MAC that is shown it would be one with few rounds.
pub(crate) fn tag128(key: &[u8; 16], bytes: &[u8]) -> u128 {
    SipHasher13::new_with_key(key).hash(bytes).as_u128()
}
