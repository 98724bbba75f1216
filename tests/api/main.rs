//! The HTTP contract, over Rocket's local client and the store in memory. Each test cites the requirement that it shows.

mod account;
mod audit;
mod bearer;
mod cors;
mod docs;
mod forward_auth;
mod guest;
mod headers;
mod helpers;
mod home;
mod import;
mod json;
mod log;
mod matrix;
mod me;
mod methods;
mod outage;
mod register;
mod statuses;
mod throttle;
mod token;
mod unreliable;
mod users;
