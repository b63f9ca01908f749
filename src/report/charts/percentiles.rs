//! Latency by percentile on a log tail, one line per target.

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::sheet::{self, Area, Chart};
use crate::report::error::ReportError;

/// Delivery time (or another latency) by percentile.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyByPercentile {
    /// What was measured.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// The latency, as the axis names it.
    pub latency: String,
    /// One line per target, usually its median trial.
    pub lines: Vec<PercentileLine>,
}

/// The percentiles of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct PercentileLine {
    /// The target.
    pub name: String,
    /// Share of messages (0 to below 1) and the microseconds in which that share had arrived, ascending;
    /// infinite where it never did.
    pub points: Vec<(f64, f64)>,
}

/// Percentiles at which a line carries its mark.
const MARKED: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

impl Chart for LatencyByPercentile {
    fn size(&self) -> (u32, u32) {
        (960, 540)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let legend: Vec<_> = self.lines.iter().enumerate().map(|(i, l)| (l.name.as_str(), i)).collect();
        let area = sheet::heading(root, &self.title, &self.subtitle, &legend, scale)?;
        let all = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Axis::percentiles(all().map(|(q, _)| *q).fold(0.0, f64::max));
        let y = Axis::latency(all().map(|(_, us)| *us));
        let highest = x.high();
        let mut plot = sheet::plot(&area, (x, "messages delivered within"), (y, &self.latency), scale)?;
        for (index, line) in self.lines.iter().enumerate() {
            sheet::line(&mut plot, &line.points, sheet::stroke(index, 2.0, scale))?;
            for wanted in MARKED.into_iter().filter(|q| *q <= highest) {
                if let Some(point) = line.points.iter().find(|(q, _)| *q >= wanted - 1e-9) {
                    sheet::draw_mark(&area, sheet::within(&area, plot.backend_coord(point)), index, scale)?;
                }
            }
        }
        Ok(())
    }
}
