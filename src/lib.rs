//! busmark: a benchmark harness for messaging systems that accounts for every message.
//!
//! Read docs/ARCHITECTURE.md for the map of the rooms, docs/METHOD.md for why the numbers can be believed.

pub mod campaign;
pub mod cli;
pub mod clock;
pub mod driver;
pub mod engine;
pub mod gate;
pub mod load;
pub mod measure;
pub mod prng;
pub mod report;
pub mod scenario;
pub mod target;
pub mod trial;
pub mod units;
pub mod wire;
