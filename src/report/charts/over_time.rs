//! Latency and rates over the seconds of a trial, with its phases marked.

use plotters::prelude::*;

use super::axis::Axis;
use super::sheet::{self, Area, Chart, Plot, drawn, px, text_style};
use super::style::{INK, QUIET, SHADE};
use crate::report::error::ReportError;
use crate::report::humanise;

/// Two panels over one time axis: latency above, rates below.
#[derive(Debug, Clone, PartialEq)]
pub struct OverTime {
    /// What was measured.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// Where the phases of the trial begin and end, in seconds since its start.
    pub phases: Vec<PhaseSpan>,
    /// What was done to brokers: seconds since the trial's start, and in words.
    pub marks: Vec<(f64, String)>,
    /// One per target, usually its median trial.
    pub series: Vec<TimeSeries>,
}

/// A phase on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseSpan {
    /// `warm-up`, `measure` or `drain`.
    pub name: String,
    /// Where it begins and ends, in seconds since the trial's start.
    pub seconds: (f64, f64),
    /// Whether its messages count.
    pub counts: bool,
}

/// What one target did over time: seconds since the trial's start, and a value (NaN: not measured).
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSeries {
    /// The target.
    pub name: String,
    /// Median latency of each interval, in microseconds.
    pub p50_us: Vec<(f64, f64)>,
    /// 99th percentile of each interval, in microseconds.
    pub p99_us: Vec<(f64, f64)>,
    /// Deliveries per second that the schedule asked for.
    pub expected_per_s: Vec<(f64, f64)>,
    /// Deliveries per second in each interval.
    pub delivered_per_s: Vec<(f64, f64)>,
}

impl Chart for OverTime {
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
        self.latencies(&upper, scale)?;
        self.rates(&lower, scale)
    }
}

impl OverTime {
    fn end(&self) -> f64 {
        let series =
            self.series.iter().flat_map(|s| s.p99_us.iter().chain(&s.delivered_per_s)).map(|(t, _)| *t);
        series.chain(self.phases.iter().map(|phase| phase.seconds.1)).fold(0.0, f64::max)
    }

    fn latencies<DB: DrawingBackend>(&self, area: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let all = self.series.iter().flat_map(|s| s.p50_us.iter().chain(&s.p99_us));
        let y = Axis::latency(all.map(|(_, us)| *us).filter(|us| !us.is_nan()));
        let x = Axis::seconds(self.end());
        let top = y.high();
        let title = "delivery time of what arrived: p99 (thick) and median (thin)";
        let mut plot = sheet::plot(area, (x, ""), (y, title), scale)?;
        self.shade(&mut plot, top, scale)?;
        for (index, series) in self.series.iter().enumerate() {
            sheet::line(&mut plot, &series.p50_us, sheet::stroke(index, 1.0, scale))?;
            sheet::line(&mut plot, &series.p99_us, sheet::stroke(index, 2.0, scale))?;
        }
        Ok(())
    }

    fn rates<DB: DrawingBackend>(&self, area: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let all = self.series.iter().flat_map(|s| s.expected_per_s.iter().chain(&s.delivered_per_s));
        let largest = all.map(|(_, rate)| *rate).filter(|rate| rate.is_finite()).fold(0.0, f64::max);
        let y = Axis::linear(largest * 1.05, 5, humanise::plain_rate);
        let top = y.high();
        let x = Axis::seconds(self.end());
        let title = "deliveries per second (grey: expected by the schedule)";
        let mut plot = sheet::plot(area, (x, "time since the trial began"), (y, title), scale)?;
        self.shade(&mut plot, top, scale)?;
        for (index, series) in self.series.iter().enumerate() {
            sheet::line(&mut plot, &series.expected_per_s, QUIET.stroke_width(px(1.5, scale) as u32))?;
            sheet::line(&mut plot, &series.delivered_per_s, sheet::stroke(index, 2.0, scale))?;
        }
        Ok(())
    }

    /// Greys out the phases that don't count, and names all of them.
    fn shade<DB: DrawingBackend>(
        &self,
        plot: &mut Plot<'_, DB>,
        top: f64,
        scale: f64,
    ) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        for phase in &self.phases {
            let (from, to) = phase.seconds;
            if !phase.counts {
                let band =
                    Rectangle::new([(from, f64::NEG_INFINITY), (to, f64::INFINITY)], SHADE.mix(0.7).filled());
                drawn(plot.draw_series([band]))?;
            }
            let left = plot.backend_coord(&(from, top)).0 - plot.plotting_area().get_base_pixel().0;
            let at = (left + px(4.0, scale), px(3.0, scale));
            let area = plot.plotting_area().strip_coord_spec();
            drawn(area.draw_text(&phase.name, &text_style(12.0, &QUIET, scale), at))?;
        }
        self.mark(plot, top, scale)
    }

    /// A line from top to bottom for each thing that was done, with its words.
    fn mark<DB: DrawingBackend>(
        &self,
        plot: &mut Plot<'_, DB>,
        top: f64,
        scale: f64,
    ) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        for (row, (second, words)) in self.marks.iter().enumerate() {
            let ends = [(*second, f64::NEG_INFINITY), (*second, f64::INFINITY)];
            drawn(plot.draw_series([PathElement::new(ends, INK.stroke_width(px(1.0, scale) as u32))]))?;
            let left = plot.backend_coord(&(*second, top)).0 - plot.plotting_area().get_base_pixel().0;
            let below = 18.0 + 14.0 * (row % 4) as f64;
            let at = (left + px(4.0, scale), px(below, scale));
            let area = plot.plotting_area().strip_coord_spec();
            drawn(area.draw_text(words, &text_style(12.0, &INK, scale), at))?;
        }
        Ok(())
    }
}
