//! Turns arguments into a plan, calls the rooms in order, owns stdout and the exit code.

pub mod estimate;
pub mod brokers;
pub mod scenario;
