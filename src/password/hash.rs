//! What a hash is made of: Argon2id's settings, and the strings that hashes are kept as.

use argon2::password_hash::phc::{self, Output, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::PasswordHash;
use super::foreign::Foreign;
use super::memory::{Memory, OutOfMemory};

/// Bytes of a salt that this program makes (W6; RFC 9106 §3.1 recommends 16).
pub(super) const SALT_LEN: usize = 16;

/// Bytes of a tag that this program makes.
const TAG_LEN: usize = 32;

/// The setting `password.argon2`: what a hash costs (RFC 9106; requirement W6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2Settings {
    /// Memory that one hash fills, in KiB.
    pub memory_kib: u32,
    /// How many times it is gone over.
    pub iterations: u32,
    /// Into how many lanes it is divided. They are filled one after the other.
    pub lanes: u32,
}

impl Default for Argon2Settings {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
        }
    }
}

/// Settings that OWASP's Password Storage Cheat Sheet holds to be equally strong, as memory in KiB and iterations.
const RECOMMENDED: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

impl Argon2Settings {
    /// The most memory one hash may take: 1 GiB (own choice).
    pub const MAX_MEMORY_KIB: u32 = 1 << 20;
    /// The most iterations (own choice).
    pub const MAX_ITERATIONS: u32 = 64;
    /// The most lanes (own choice).
    pub const MAX_LANES: u32 = 64;
    /// The most memory times iterations, in KiB: some seconds of one core (own choice).
    pub const MAX_WORK_KIB: u32 = 1 << 22;

    /// Whether a hash can be made with these, at a cost that somebody could mean. The bounds hold for
    /// stored hashes too, so none can be made to exhaust the machine.
    ///
    /// # Errors
    /// [`InvalidArgon2Settings`] names the setting, its value and what is allowed.
    pub fn validate(&self) -> Result<(), InvalidArgon2Settings> {
        if !(1..=Self::MAX_LANES).contains(&self.lanes) {
            return Err(InvalidArgon2Settings::Lanes { given: self.lanes });
        }
        if !(8 * self.lanes..=Self::MAX_MEMORY_KIB).contains(&self.memory_kib) {
            return Err(InvalidArgon2Settings::Memory {
                given: self.memory_kib,
                min: 8 * self.lanes,
            });
        }
        if !(1..=Self::MAX_ITERATIONS).contains(&self.iterations) {
            return Err(InvalidArgon2Settings::Iterations { given: self.iterations });
        }
        if self.work_kib() > u64::from(Self::MAX_WORK_KIB) {
            return Err(InvalidArgon2Settings::Work { given: self.work_kib() });
        }
        Ok(())
    }

    /// Whether a guess costs less than with the default settings or one of their equals; worth a
    /// warning at start.
    #[must_use]
    pub fn is_weaker_than_default(&self) -> bool {
        !RECOMMENDED
            .iter()
            .any(|&(memory_kib, iterations)| self.memory_kib >= memory_kib && self.iterations >= iterations)
    }

    fn work_kib(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }
}

/// A setting of `password.argon2` that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidArgon2Settings {
    /// Too little or too much memory.
    #[error(
        "argon2 memory_kib is {given}; {min} (8 a lane) to {} is allowed",
        Argon2Settings::MAX_MEMORY_KIB
    )]
    Memory {
        /// KiB.
        given: u32,
        /// The least that so many lanes need, in KiB.
        min: u32,
    },
    /// No iteration, or too many.
    #[error("argon2 iterations is {given}; 1 to {} is allowed", Argon2Settings::MAX_ITERATIONS)]
    Iterations {
        /// The setting.
        given: u32,
    },
    /// No lane, or too many.
    #[error("argon2 lanes is {given}; 1 to {} is allowed", Argon2Settings::MAX_LANES)]
    Lanes {
        /// The setting.
        given: u32,
    },
    /// Each is within its bounds, but all together would keep a core busy for too long.
    #[error(
        "argon2 memory_kib times iterations is {given}; at most {} is allowed",
        Argon2Settings::MAX_WORK_KIB
    )]
    Work {
        /// KiB gone over.
        given: u64,
    },
}

/// Why a text is not a hash that can be checked. None of it repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPasswordHash {
    /// It is not written as hashes of its kind are.
    #[error(
        "the password hash is malformed; a hash looks like $argon2id$v=19$m=19456,t=2,p=1$salt$hash or as the program that \
         made it writes them, {KINDS}"
    )]
    Form,
    /// It is of a kind that this program does not know.
    #[error("the password hash is of an unknown kind; known are {KINDS}")]
    Kind,
    /// It would cost too much to check, or its parameters contradict each other.
    #[error("the password hash has unusable parameters: {0}")]
    Parameters(#[from] InvalidArgon2Settings),
    /// It would cost too much to check, or so little that it is a mistake.
    #[error("the password hash has unusable parameters: {parameter} is {given}; {min} to {max} is allowed")]
    Cost {
        /// What is out of bounds, with its unit.
        parameter: &'static str,
        /// What it is.
        given: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
}

/// What [`InvalidPasswordHash`] says that there is.
const KINDS: &str = "argon2id, argon2i, argon2d, bcrypt ($2a$, $2b$, $2y$), scrypt and PBKDF2 (PHC strings), and Django's \
                     argon2, bcrypt, bcrypt_sha256, pbkdf2_sha256, pbkdf2_sha1 and scrypt";

/// A stored hash, taken apart.
#[derive(Debug)]
pub(super) enum Stored {
    Argon2(Argon2Hash),
    /// Of a kind that this program never makes.
    Foreign(Foreign),
}

impl Stored {
    /// The one place that tells kinds of hashes apart.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPasswordHash> {
        if let Some(foreign) = Foreign::parse(text)? {
            return Ok(Self::Foreign(foreign));
        }
        let phc = phc::PasswordHash::new(text).map_err(|_| InvalidPasswordHash::Form)?;
        let algorithm = match phc.algorithm.as_str() {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            "argon2d" => Algorithm::Argon2d,
            _ => return Err(InvalidPasswordHash::Kind),
        };
        Argon2Hash::parse(algorithm, &phc).map(Self::Argon2)
    }

    /// Whether the hash is of this password.
    pub(super) fn matches(&self, password: &str, memory: &mut Memory) -> Result<bool, OutOfMemory> {
        match self {
            Self::Argon2(stored) => stored.matches(password, memory),
            Self::Foreign(stored) => stored.matches(password),
        }
    }

    /// Whether a new hash would be of another kind or cost than this one.
    pub(super) fn is_outdated(&self, current: &Argon2Settings) -> bool {
        match self {
            Self::Argon2(stored) => stored.is_outdated(current),
            Self::Foreign(_) => true,
        }
    }
}

/// A stored hash of the Argon2 family.
#[derive(Debug)]
pub(super) struct Argon2Hash {
    algorithm: Algorithm,
    settings: Argon2Settings,
    version: Version,
    salt: Salt,
    tag: Output,
}

impl Argon2Hash {
    fn parse(algorithm: Algorithm, phc: &phc::PasswordHash) -> Result<Self, InvalidPasswordHash> {
        let parameter = |name| phc.params.get_decimal(name).ok_or(InvalidPasswordHash::Form);
        let settings = Argon2Settings {
            memory_kib: parameter("m")?,
            iterations: parameter("t")?,
            lanes: parameter("p")?,
        };
        // More than these three (a key id, associated data) would change the hash.
        if phc.params.iter().count() != 3 {
            return Err(InvalidPasswordHash::Form);
        }
        settings.validate()?;
        let version = match phc.version {
            Some(0x13) => Version::V0x13,
            // The reference implementation leaves the version out in strings of this one.
            Some(0x10) | None => Version::V0x10,
            Some(_) => return Err(InvalidPasswordHash::Form),
        };
        let (Some(salt), Some(tag)) = (phc.salt, phc.hash) else {
            return Err(InvalidPasswordHash::Form);
        };
        Ok(Self {
            algorithm,
            settings,
            version,
            salt,
            tag,
        })
    }

    fn matches(&self, password: &str, memory: &mut Memory) -> Result<bool, OutOfMemory> {
        let mut tag = [0; Output::MAX_LENGTH];
        let tag = &mut tag[..self.tag.len()];
        let argon2 = context(self.algorithm, &self.settings, self.version);
        fill_tag(&argon2, password, &self.salt, tag, memory)?;
        let right = tag.ct_eq(self.tag.as_bytes()).into();
        tag.zeroize();
        Ok(right)
    }

    /// A hash that costs more than a new one would is left as it is: settings that were lowered make nobody's hash weaker.
    fn is_outdated(&self, current: &Argon2Settings) -> bool {
        self.algorithm != Algorithm::Argon2id
            || self.settings.memory_kib < current.memory_kib
            || self.settings.iterations < current.iterations
            || self.version != Version::V0x13
            || self.salt.len() < SALT_LEN
            || self.tag.len() < TAG_LEN
    }
}

/// Hashes a password with Argon2id.
pub(super) fn hash(
    settings: &Argon2Settings,
    password: &str,
    salt: &[u8; SALT_LEN],
    memory: &mut Memory,
) -> Result<PasswordHash, OutOfMemory> {
    let mut tag = [0; TAG_LEN];
    let argon2 = context(Algorithm::Argon2id, settings, Version::V0x13);
    fill_tag(&argon2, password, salt, &mut tag, memory)?;
    let salt = Salt::new(salt).expect("a PHC salt may have 16 bytes");
    let output = Output::new(&tag).expect("a PHC hash may have 32 bytes");
    tag.zeroize();
    let Argon2Settings {
        memory_kib,
        iterations,
        lanes,
    } = settings;
    Ok(PasswordHash(format!(
        "$argon2id$v=19$m={memory_kib},t={iterations},p={lanes}${salt}${output}"
    )))
}

/// Fills `tag` with the Argon2 tag of a password.
fn fill_tag(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    tag: &mut [u8],
    memory: &mut Memory,
) -> Result<(), OutOfMemory> {
    memory.lend(argon2.params().block_count(), |blocks| {
        argon2
            .hash_password_into_with_memory(password.as_bytes(), salt, tag, blocks)
            .expect("lengths of password, salt and tag are within Argon2's bounds and the memory suffices");
    })?;
    memory.work_kib += u64::from(argon2.params().m_cost()) * u64::from(argon2.params().t_cost());
    Ok(())
}

/// Blocks of 1 KiB that a hash with these settings fills. The settings have been validated.
pub(super) fn block_count(settings: &Argon2Settings) -> usize {
    context(Algorithm::Argon2id, settings, Version::V0x13)
        .params()
        .block_count()
}

/// The settings have been validated.
fn context(algorithm: Algorithm, settings: &Argon2Settings, version: Version) -> Argon2<'static> {
    let params = Params::new(settings.memory_kib, settings.iterations, settings.lanes, None)
        .expect("validated settings are within Argon2's bounds");
    Argon2::new(algorithm, version, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Argon2Settings = Argon2Settings {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };

    fn memory() -> Memory {
        Memory::new(8)
    }

    // W6: test vectors of the reference implementation (P-H-C/phc-winner-argon2, src/test.c)
    #[test]
    fn hashes_of_the_reference_implementation_are_verified() {
        for text in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        ] {
            let stored = Stored::parse(text).unwrap();
            assert_eq!(stored.matches("password", &mut memory()), Ok(true), "{text}");
            assert_eq!(stored.matches("passwore", &mut memory()), Ok(false), "{text}");
        }
    }

    // W6
    #[test]
    fn a_hash_is_a_phc_string_of_argon2id_with_its_salt() {
        let hash = hash(&CHEAP, "password", b"somesaltsomesalt", &mut memory()).unwrap();
        let start = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";
        assert!(hash.expose().starts_with(start), "{}", hash.expose());
        assert_eq!(hash.expose().len(), start.len() + 43);
        let again = PasswordHash::parse(hash.expose()).unwrap();
        assert!(
            Stored::parse(again.expose())
                .unwrap()
                .matches("password", &mut memory())
                .unwrap()
        );
    }

    // W1
    #[test]
    fn a_password_is_never_cut() {
        let password = "x".repeat(1024);
        let hash = hash(&CHEAP, &password, &[7; 16], &mut memory()).unwrap();
        let stored = Stored::parse(hash.expose()).unwrap();
        assert_eq!(stored.matches(&password, &mut memory()), Ok(true));
        assert_eq!(
            stored.matches(&format!("{}y", &password[1..]), &mut memory()),
            Ok(false)
        );
        assert_eq!(stored.matches(&password[1..], &mut memory()), Ok(false));
    }

    // W6
    #[test]
    fn a_weaker_cost_and_another_version_or_length_are_outdated() {
        let tag = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let salt = "c29tZXNhbHRzb21lc2FsdA";
        let current = Argon2Settings {
            memory_kib: 32,
            iterations: 2,
            lanes: 1,
        };
        for (text, outdated) in [
            (format!("$argon2id$v=19$m=32,t=2,p=1${salt}${tag}"), false),
            (format!("$argon2id$v=19$m=16,t=1,p=1${salt}${tag}"), true),
            (format!("$argon2id$v=19$m=32,t=1,p=1${salt}${tag}"), true),
            (format!("$argon2id$v=19$m=64,t=3,p=2${salt}${tag}"), false),
            (format!("$argon2id$v=16$m=32,t=2,p=1${salt}${tag}"), true),
            (format!("$argon2id$m=32,t=2,p=1${salt}${tag}"), true),
            (format!("$argon2id$v=19$m=32,t=2,p=1$c29tZXNhbHQ${tag}"), true),
            (
                format!("$argon2id$v=19$m=32,t=2,p=1${salt}$nf65EOgLrQMR/uIPnA4rEg"),
                true,
            ),
            (format!("$argon2i$v=19$m=32,t=2,p=1${salt}${tag}"), true),
            (format!("$argon2d$v=19$m=32,t=2,p=1${salt}${tag}"), true),
        ] {
            assert_eq!(Stored::parse(&text).unwrap().is_outdated(&current), outdated, "{text}");
        }
    }

    #[test]
    fn a_hash_that_would_exhaust_the_machine_is_refused() {
        let parse = |params: &str| {
            Stored::parse(&format!(
                "$argon2id$v=19${params}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
            ))
            .map(|_| ())
        };
        assert_eq!(parse("m=1048576,t=4,p=1"), Ok(()));
        for params in [
            "m=1048577,t=1,p=1",
            "m=4294967295,t=1,p=1",
            "m=64,t=65,p=1",
            "m=1048576,t=5,p=1",
            "m=8,t=0,p=1",
            "m=7,t=1,p=1",
            "m=8,t=1,p=0",
            "m=64,t=1,p=9",
            "m=1048576,t=1,p=16777215",
            "m=8,t=1,p=4294967295",
        ] {
            assert!(
                matches!(parse(params), Err(InvalidPasswordHash::Parameters(_))),
                "{params}"
            );
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let tag = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for text in [
            String::new(),
            "password".to_owned(),
            "$argon2id$v=19$m=8,t=1,p=1".to_owned(),
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ".to_owned(),
            format!("$argon2id$v=18$m=8,t=1,p=1$c29tZXNhbHQ${tag}"),
            format!("$argon2id$v=19$m=8,t=1$c29tZXNhbHQ${tag}"),
            format!("$argon2id$v=19$m=8,t=1,t=1$c29tZXNhbHQ${tag}"),
            format!("$argon2id$v=19$m=8,t=1,p=1,data=aGVsbG8$c29tZXNhbHQ${tag}"),
            format!("$argon2id$v=19$m=x,t=1,p=1$c29tZXNhbHQ${tag}"),
            format!("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ${tag}$"),
            format!("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ${tag}=\n"),
        ] {
            assert_eq!(PasswordHash::parse(&text), Err(InvalidPasswordHash::Form), "{text}");
        }
        assert_eq!(
            PasswordHash::parse(&format!("$argon3$v=19$m=8,t=1,p=1$c29tZXNhbHQ${tag}")),
            Err(InvalidPasswordHash::Kind)
        );
    }

    #[test]
    fn weaker_is_what_owasp_does_not_recommend() {
        let weaker = |memory_kib, iterations| {
            Argon2Settings {
                memory_kib,
                iterations,
                lanes: 1,
            }
            .is_weaker_than_default()
        };
        assert!(!Argon2Settings::default().is_weaker_than_default());
        assert!(!weaker(65_536, 1) && !weaker(7_168, 5) && !weaker(19_456, 3));
        assert!(weaker(19_455, 2) && weaker(19_456, 1) && weaker(8, 64));
    }

    #[test]
    fn settings_are_read_with_defaults_and_without_unknown_names() {
        let read = serde_json::from_str::<Argon2Settings>;
        assert_eq!(read("{}").unwrap(), Argon2Settings::default());
        assert_eq!(
            read(r#"{"iterations":3}"#).unwrap(),
            Argon2Settings {
                iterations: 3,
                ..Argon2Settings::default()
            }
        );
        assert!(read(r#"{"memory":8}"#).is_err());
    }
}
