//! Where something was asked for from; the audit log and sessions keep it.

use std::net::IpAddr;

/// The most characters that are kept of a `User-Agent`.
pub(crate) const MAX_USER_AGENT: usize = 256;

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The client's `User-Agent`, without control characters, cut to 256 characters.
    pub user_agent: Option<String>,
    /// The request's `X-Request-Id`.
    pub request_id: Option<String>,
}
