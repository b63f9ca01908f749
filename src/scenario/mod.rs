//! Says what to run, as validated plain data; no tokio, no driver.

mod broker;
mod check;
mod document;
mod expect;
mod load;
mod metric;
mod model;
mod narrow;
mod options;
mod overrides;
mod print;
mod problem;
mod read;
mod read_target;
mod read_traffic;
mod reader;
mod schema;
pub mod shipped;
mod spec;
mod sweep;
mod topology;
mod traffic;
pub mod url;
mod words;

pub use broker::{Broker, Managed, Server, Transport};
pub use expect::{Compare, Expect, ExpectError, MetricOf, Right};
pub use metric::{Metric, MetricKind};
pub use model::*;
pub use options::*;
pub use overrides::Override;
pub use problem::{Problem, ScenarioError};
pub use schema::schema;
pub use sweep::{Combine, Point, Sweep, Swept};
pub use topology::{LaneId, Subscription, TopicId, Topology};
pub use traffic::{PayloadSize, Shape, TopicChoice};
