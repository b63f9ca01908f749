//! Makes a broker be there: external (given by URL), managed (a child process with a generated
//! configuration), bundled (busmark's own engine as a child process) or a user's command; samples its CPU
//! and memory, reads its counters, stops and resumes it, and takes it away again.
//!
//! Children are gone when busmark is gone, however it goes: [`Broker::stop`] and `Drop` end them, and a
//! watchdog process beside each broker ends it when busmark itself was killed.

mod broker;
mod child;
mod config;
mod discover;
mod error;
mod fetch;
mod kafka;
mod launch;
mod node;
mod os;
mod place;
mod probe;
mod redis_cluster;
mod start;
mod system;

pub use broker::Broker;
pub use discover::{Found, discover, find};
pub use error::TargetError;
pub use fetch::{fetch, fetched};
pub use node::{Node, NodeState};
pub use os::{ProcessSample, ProcessUsage};
pub use probe::Counters;
pub use system::System;
