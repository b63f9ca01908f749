//! Says what to run, as validated plain data; no tokio, no driver.

mod model;
mod options;
mod topology;

pub use model::*;
pub use options::*;
pub use topology::{LaneId, Subscription, TopicId, Topology};
