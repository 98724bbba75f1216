//! The contract of [`crate::store`] as tests that any store can be held to.
