//! PBKDF2 (RFC 8018 §5.2), as PHC string, as passlib and as Django write it.

use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{Derived, bounded, number};
use crate::password::InvalidPasswordHash;

/// A PBKDF2 hash:
/// - PHC: `$pbkdf2-sha256$i=600000,l=32$salt$hash`, also `sha1` and `sha512`; `l` may be left out
/// - passlib: `$pbkdf2-sha256$29000$salt$hash`, also `pbkdf2-sha512` and `pbkdf2` (SHA-1), in a Base64 of its own
/// - Django: `pbkdf2_sha256$600000$salt$hash`, also `pbkdf2_sha1`
#[derive(Debug)]
pub(in crate::password) struct Pbkdf2 {
    function: Function,
    iterations: u32,
    derived: Derived,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Sha1,
    Sha256,
    Sha512,
}

impl Function {
    /// What one step gives, in bytes. A longer output takes all iterations once more.
    const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl Pbkdf2 {
    /// A few seconds; Django 5.2's default is 1,000,000.
    const MAX_ITERATIONS: u64 = 10_000_000;

    /// `None` if it is not PBKDF2's.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, InvalidPasswordHash> {
        let parts: Vec<_> = text.split('$').collect();
        let (["", name, ref rest @ ..] | [name, ref rest @ ..]) = parts[..] else {
            return Ok(None);
        };
        let is_django = !text.starts_with('$');
        let function = match (name, is_django) {
            ("pbkdf2_sha1", true) | ("pbkdf2" | "pbkdf2-sha1", false) => Function::Sha1,
            ("pbkdf2_sha256", true) | ("pbkdf2-sha256", false) => Function::Sha256,
            ("pbkdf2-sha512", false) => Function::Sha512,
            _ => return Ok(None),
        };
        let [params, salt, key] = rest else {
            return Err(InvalidPasswordHash::Form);
        };
        let hash = if is_django {
            Self::new(function, number(params)?, Derived::of_django(salt, key)?)
        } else if let Some(params) = params.strip_prefix("i=") {
            Self::of_phc(function, params, Derived::of_phc(salt, key)?)
        } else {
            let (salt, key) = (salt.replace('.', "+"), key.replace('.', "+"));
            Self::new(function, number(params)?, Derived::of_phc(&salt, &key)?)
        };
        hash.map(Some)
    }

    fn of_phc(function: Function, params: &str, derived: Derived) -> Result<Self, InvalidPasswordHash> {
        let (iterations, len) = match params.split_once(",l=") {
            Some((iterations, len)) => (iterations, Some(number(len)?)),
            None => (params, None),
        };
        if len.is_some_and(|len| usize::try_from(len) != Ok(derived.key.len())) {
            return Err(InvalidPasswordHash::Form);
        }
        Self::new(function, number(iterations)?, derived)
    }

    fn new(function: Function, iterations: u32, derived: Derived) -> Result<Self, InvalidPasswordHash> {
        let steps = derived.key.len().div_ceil(function.output_len()) as u64;
        bounded(
            "the number of iterations of PBKDF2",
            u64::from(iterations) * steps,
            1,
            Self::MAX_ITERATIONS,
        )?;
        Ok(Self {
            function,
            iterations,
            derived,
        })
    }

    pub(super) fn matches(&self, password: &str) -> bool {
        let derive = match self.function {
            Function::Sha1 => pbkdf2_hmac::<Sha1>,
            Function::Sha256 => pbkdf2_hmac::<Sha256>,
            Function::Sha512 => pbkdf2_hmac::<Sha512>,
        };
        self.derived
            .matches(|salt, key| derive(password.as_bytes(), salt, self.iterations, key))
    }
}
