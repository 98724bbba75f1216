//! Keyed hashes: BLAKE2b (RFC 7693 §2.9) and, for what is gone with the process, SipHash.

use blake2::Blake2bMac;
use blake2::digest::array::ArraySize;
use blake2::digest::consts::{U32, U64};
use blake2::digest::typenum::{IsLessOrEqual, True};
use blake2::digest::{FixedOutput, KeyInit, Output, Update};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

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

/// The SipHash-2-4 of `bytes` with 128 bits: a MAC (Aumasson and Bernstein, 2012) of a tenth of BLAKE2b's cost. Whoever does not
/// know the key finds no bytes with the tag of others but by 2^128 tries, each of which is a request.
pub(crate) fn tag128(key: &[u8; 16], bytes: &[u8]) -> u128 {
    let mut mac = SipHasher24::new_with_key(key);
    std::hash::Hasher::write(&mut mac, bytes);
    mac.finish128().as_u128()
}
