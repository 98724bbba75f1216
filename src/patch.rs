//! Members that may be left out, which in a change means "as it is"; `null` is refused, because nothing here can be unset.

use serde::{Deserialize, Deserializer};

/// For `#[serde(default, deserialize_with = "present")]`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
