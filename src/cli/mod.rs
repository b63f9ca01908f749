//! Turns arguments into a plan, calls the rooms in order, owns stdout and the exit code.

pub mod brokers;
pub mod estimate;
pub mod report;
pub mod results;
pub mod scenario;
pub mod serve;
pub mod serve_jetstream;
pub mod terminal;
