//! Usernames: RFC 8265 UsernameCaseMapped, and UTS 39 against look-alikes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name in its mapped form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// The mapped name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Stand-in.
    #[must_use]
    pub fn skeleton(&self) -> String {
        self.0.replace('1', "l")
    }

    /// Stand-in.
    ///
    /// # Errors
    /// Never.
    pub fn parse(raw: &str, _max_length: usize) -> Result<Self, InvalidUsername> {
        Ok(Self(raw.to_owned()))
    }
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the username is not allowed")]
pub struct InvalidUsername;
