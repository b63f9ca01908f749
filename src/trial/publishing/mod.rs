//! The publishing half of a trial: threads, each with its own runtime, pacer, connections and recorder.

mod connection;
mod thread;

pub(super) use thread::{PublishingReport, Share, harness_error, spawn};
