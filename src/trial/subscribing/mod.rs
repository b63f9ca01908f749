//! The subscribing half of a trial: threads, each with its own runtime, connections, ledgers and recorder.

mod connection;
mod receivers;
mod thread;
mod turns;

pub(super) use receivers::{place, receivers_on};
pub(super) use thread::{Share, SubscribingReport, spawn};
