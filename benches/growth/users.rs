//! The users that the stores are filled with.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use shild::password::{Argon2Settings, Hasher, Password, PasswordHash};
use shild::store::conformance::block_on;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "violet gravel monsoon";

/// One more user, who may do everything.
pub(crate) const ADMIN: &str = "admin";

/// The name of a user. An odd factor, so none comes twice and they are in no order.
pub(crate) fn name(number: u64) -> String {
    format!("user{:016x}", scattered(number))
}

/// The id of a user: in order, as UUIDv7 gives them.
pub(crate) fn id(number: u64) -> String {
    let random = scattered(number) >> 16;
    format!(
        "018bcfe5-{:04x}-7{:03x}-8000-{random:012x}",
        number >> 12,
        number & 0xFFF
    )
}

/// The number of one of so many users, at random.
pub(crate) fn any(users: u64, draw: u64) -> u64 {
    // The finish of SplitMix64.
    let mut word = scattered(draw + 1);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (word ^ (word >> 31)) % users
}

const fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The hash of the password, at the least that Argon2 can cost or as by default.
fn hash(by_default: bool) -> PasswordHash {
    let least = Argon2Settings {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };
    let settings = if by_default { Argon2Settings::default() } else { least };
    let hasher = Hasher::new(settings, None, 0).expect("a thread starts");
    let password = Password::parse(PASSWORD).expect("a good password");
    block_on(hasher.hash(password, *b"sixteen byte s.t")).expect("there is memory")
}

/// Writes an export of them.
pub(crate) fn write(path: &Path, users: u64, hashes_by_default: bool) -> io::Result<()> {
    let hash = hash(hashes_by_default);
    let hash = hash.expose();
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(
        out,
        r#"{{"kind":"user","username":"{ADMIN}","password_hash":"{hash}","scopes":["admin","user"]}}"#
    )?;
    for number in 0..users {
        let (id, name) = (id(number), name(number));
        writeln!(
            out,
            r#"{{"kind":"user","id":"{id}","username":"{name}","password_hash":"{hash}"}}"#
        )?;
    }
    out.flush()
}
