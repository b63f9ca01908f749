//! Latency and throughput over a swept key, one line per target.

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::sheet::{self, Area, Chart};
use crate::report::error::ReportError;
use crate::report::humanise;

/// Two panels over one swept key: latency above, throughput below.
#[derive(Debug, Clone, PartialEq)]
pub struct OverSwept {
    /// What was measured.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// The key.
    pub key: String,
    /// Its values in the order of the sweep: the places on the axis.
    pub values: Vec<String>,
    /// How the latency's axis is named.
    pub latency: String,
    /// One per target and combination of the other keys.
    pub series: Vec<SweptSeries>,
}

/// What one target did from value to value; NaN where it was not measured.
#[derive(Debug, Clone, PartialEq)]
pub struct SweptSeries {
    /// The target, with the values of the other keys.
    pub name: String,
    /// Median latency, µs, value by value.
    pub p50_us: Vec<f64>,
    /// 99th percentile, µs.
    pub p99_us: Vec<f64>,
    /// Deliveries per second.
    pub delivered_per_s: Vec<f64>,
}

impl Chart for OverSwept {
    fn size(&self) -> (u32, u32) {
        (960, 720)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let legend: Vec<_> = self.series.iter().enumerate().map(|(i, s)| (s.name.as_str(), i)).collect();
        let area = sheet::heading(root, &self.title, &self.subtitle, &legend, scale)?;
        let (upper, lower) = area.split_vertically(area.dim_in_pixel().1 / 2);
        let latencies = self.series.iter().flat_map(|s| s.p50_us.iter().chain(&s.p99_us)).copied();
        let y = Axis::latency(latencies.filter(|us| !us.is_nan()));
        let title = format!("{}: p99 (thick) and median (thin)", self.latency);
        let mut plot = sheet::plot(&upper, (Axis::places(&self.values), ""), (y, &title), scale)?;
        for (index, series) in self.series.iter().enumerate() {
            sheet::line(&mut plot, &placed(&series.p50_us), sheet::stroke(index, 1.0, scale))?;
            sheet::line(&mut plot, &placed(&series.p99_us), sheet::stroke(index, 2.0, scale))?;
            self.marks(&upper, &plot, (&series.p99_us, index), scale)?;
        }
        let rates = self.series.iter().flat_map(|s| &s.delivered_per_s).copied();
        let largest = rates.filter(|rate| rate.is_finite()).fold(0.0, f64::max);
        let y = Axis::linear(largest * 1.05, 5, humanise::plain_rate);
        let x = (Axis::places(&self.values), self.key.as_str());
        let mut plot = sheet::plot(&lower, x, (y, "deliveries per second"), scale)?;
        for (index, series) in self.series.iter().enumerate() {
            sheet::line(&mut plot, &placed(&series.delivered_per_s), sheet::stroke(index, 2.0, scale))?;
            self.marks(&lower, &plot, (&series.delivered_per_s, index), scale)?;
        }
        Ok(())
    }
}

impl OverSwept {
    /// A mark at each value, so that a target measured at one value alone is seen too.
    fn marks<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        plot: &sheet::Plot<'_, DB>,
        (values, index): (&[f64], usize),
        scale: f64,
    ) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        for point in placed(values).iter().filter(|(_, value)| !value.is_nan()) {
            sheet::draw_mark(area, sheet::within(area, plot.backend_coord(point)), index, scale)?;
        }
        Ok(())
    }
}

/// Each value at its place: 0, 1, 2, …
fn placed(values: &[f64]) -> Vec<(f64, f64)> {
    values.iter().enumerate().map(|(index, value)| (index as f64, *value)).collect()
}
