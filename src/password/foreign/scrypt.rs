//! scrypt (RFC 7914), as PHC string and as Django writes it.

use super::{Derived, bounded, number};
use crate::password::InvalidPasswordHash;
use crate::password::memory::OutOfMemory;

/// An scrypt hash: `$scrypt$ln=16,r=8,p=1$salt$hash` or `scrypt$16384$salt$8$1$hash`.
#[derive(Debug)]
pub(in crate::password) struct Scrypt {
    params: scrypt::Params,
    /// What one computation allocates, in bytes.
    memory: usize,
    derived: Derived,
}

impl Scrypt {
    /// Twice what OWASP's Password Storage Cheat Sheet has as its largest.
    const MAX_MEMORY_MIB: u64 = 256;

    /// Memory times passes: some seconds of one core.
    const MAX_WORK_MIB: u64 = 1024;

    /// `None` if it is not scrypt's.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, InvalidPasswordHash> {
        let parts: Vec<_> = text.split('$').collect();
        match parts[..] {
            ["", "scrypt", params, salt, key] => {
                let (log_n, r, p) = phc_params(params).ok_or(InvalidPasswordHash::Form)?;
                Self::new(number(log_n)?, number(r)?, number(p)?, Derived::of_phc(salt, key)?).map(Some)
            }
            ["scrypt", n, salt, r, p, key] => {
                let n = number(n)?;
                if !n.is_power_of_two() {
                    return Err(InvalidPasswordHash::Form);
                }
                Self::new(n.ilog2(), number(r)?, number(p)?, Derived::of_django(salt, key)?).map(Some)
            }
            ["" | "scrypt", "scrypt", ..] | ["scrypt", ..] => Err(InvalidPasswordHash::Form),
            _ => Ok(None),
        }
    }

    fn new(log_n: u32, r: u32, p: u32, derived: Derived) -> Result<Self, InvalidPasswordHash> {
        bounded("the scrypt cost ln", log_n.into(), 1, 20)?;
        bounded("the scrypt block size r", r.into(), 1, 64)?;
        bounded("the scrypt parallelism p", p.into(), 1, 64)?;
        let bytes = (128 * u64::from(r)) << log_n;
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        bounded("the memory of scrypt in MiB", mib(bytes), 0, Self::MAX_MEMORY_MIB)?;
        bounded(
            "memory times parallelism of scrypt in MiB",
            mib(bytes * u64::from(p)),
            0,
            Self::MAX_WORK_MIB,
        )?;
        let log_n = u8::try_from(log_n).map_err(|_| InvalidPasswordHash::Form)?;
        Ok(Self {
            params: scrypt::Params::new(log_n, r, p).map_err(|_| InvalidPasswordHash::Form)?,
            memory: usize::try_from(bytes).map_err(|_| InvalidPasswordHash::Form)?,
            derived,
        })
    }

    pub(super) fn matches(&self, password: &str) -> Result<bool, OutOfMemory> {
        // The crate allocates by itself, and would end the process where there is no memory.
        Vec::<u8>::new()
            .try_reserve_exact(self.memory)
            .map_err(|_| OutOfMemory)?;
        Ok(self.derived.matches(|salt, key| {
            scrypt::scrypt(password.as_bytes(), salt, &self.params, key)
                .expect("an output of 10 to 64 bytes is within scrypt's bounds");
        }))
    }
}

/// The values of `ln=…,r=…,p=…`, in this order (PHC string format: as the function defines it).
fn phc_params(text: &str) -> Option<(&str, &str, &str)> {
    let (log_n, rest) = text.strip_prefix("ln=")?.split_once(",r=")?;
    let (r, p) = rest.split_once(",p=")?;
    Some((log_n, r, p))
}
