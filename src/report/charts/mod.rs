//! Charts as SVG and PNG, drawn by plotters with an embedded font.

mod axis;
mod bars;
mod over_time;
mod percentiles;
mod sheet;
mod style;
mod swept;

pub use bars::{Bars, Panel};
pub use over_time::{OverTime, PhaseSpan, TimeSeries};
pub use percentiles::{LatencyByPercentile, PercentileLine};
pub use sheet::{Area, Chart, png, svg};
pub use swept::{OverSwept, SweptSeries};
