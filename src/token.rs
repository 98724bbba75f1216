//! Access tokens: PASETO v4.public, issued and verified.

pub mod keyring;
