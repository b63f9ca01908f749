//! Throughput and loss: one row per target, one panel per figure.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::sheet::{self, Area, Chart, drawn, px, text_style};
use super::style::{self, GRID, INK, QUIET};
use crate::report::error::ReportError;
use crate::report::humanise::NOT_MEASURED;

/// Rows of horizontal bars in panels side by side.
#[derive(Debug, Clone)]
pub struct Bars {
    /// What was measured.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// One name per row, and the number of its series in the other charts, which gives the colour.
    pub rows: Vec<(String, usize)>,
    /// One panel per figure.
    pub panels: Vec<Panel>,
}

/// One figure of every row.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What it is, with its unit.
    pub heading: String,
    /// How a value is written at the end of its bar.
    pub label: fn(f64) -> String,
    /// The value of each row; `None` where it was not measured.
    pub values: Vec<Option<f64>>,
    /// Where the bar should reach, as a tick (the offered rate).
    pub wanted: Vec<Option<f64>>,
}

const ROW: f64 = 34.0;
const LONGEST_NAME: f64 = 260.0;
/// Share of a panel's width that the longest bar takes; its label stands behind it.
const LONGEST_BAR: f64 = 0.62;

impl Chart for Bars {
    fn size(&self) -> (u32, u32) {
        (960, (120.0 + ROW * self.rows.len() as f64) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let area = sheet::heading(root, &self.title, &self.subtitle, &[], scale)?;
        let names = self.names(&area, scale)?;
        let (left, right) = area.split_horizontally(names);
        let middle_left = text_style(14.0, &INK, scale).pos(Pos::new(HPos::Left, VPos::Center));
        for (row, (name, _)) in self.rows.iter().enumerate() {
            drawn(left.draw_text(name, &middle_left, (px(12.0, scale), row_middle(row, scale))))?;
        }
        for (panel, place) in self.panels.iter().zip(right.split_evenly((1, self.panels.len().max(1)))) {
            panel.draw(&place, &self.rows, scale)?;
        }
        Ok(())
    }
}

impl Bars {
    /// Width that the longest name needs.
    fn names<DB: DrawingBackend>(&self, area: &Area<DB>, scale: f64) -> Result<i32, ReportError>
    where
        DB::ErrorType: 'static,
    {
        let style = text_style(14.0, &INK, scale);
        let mut widest = 0;
        for (name, _) in &self.rows {
            widest = widest.max(drawn(area.estimate_text_size(name, &style))?.0 as i32);
        }
        Ok((widest + px(24.0, scale)).min(px(LONGEST_NAME, scale)))
    }
}

impl Panel {
    fn draw<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        rows: &[(String, usize)],
        scale: f64,
    ) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static,
    {
        let (width, height) = area.dim_in_pixel();
        let bottom = (height as i32).min(row_middle(self.values.len(), scale) - px(ROW / 2.0, scale));
        drawn(area.draw_text(
            &self.heading,
            &text_style(13.5, &QUIET, scale),
            (px(4.0, scale), px(4.0, scale)),
        ))?;
        let zero = px(4.0, scale);
        let axis = PathElement::new(
            vec![(zero, px(26.0, scale)), (zero, bottom)],
            GRID.stroke_width(px(1.0, scale) as u32),
        );
        drawn(area.draw(&axis))?;
        let finite = self.values.iter().chain(&self.wanted).flatten().filter(|value| value.is_finite());
        let largest = finite.fold(0.0f64, |a, b| a.max(*b));
        let length = |value: f64| {
            let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
            (share * LONGEST_BAR * f64::from(width)).round() as i32
        };
        let middle_left = text_style(13.5, &INK, scale).pos(Pos::new(HPos::Left, VPos::Center));
        let half = px(9.0, scale);
        for (row, value) in self.values.iter().enumerate() {
            let middle = row_middle(row, scale);
            let Some(value) = value else {
                drawn(area.draw_text(NOT_MEASURED, &middle_left, (zero + px(6.0, scale), middle)))?;
                continue;
            };
            let mut end = zero + length(*value);
            let colour = style::colour(rows.get(row).map_or(0, |(_, series)| *series));
            let bar = Rectangle::new([(zero, middle - half), (end, middle + half)], colour.filled());
            drawn(area.draw(&bar))?;
            if let Some(wanted) = self.wanted.get(row).copied().flatten() {
                let x = zero + length(wanted);
                let tick = vec![(x, middle - half - px(3.0, scale)), (x, middle + half + px(3.0, scale))];
                drawn(area.draw(&PathElement::new(tick, INK.stroke_width(px(2.0, scale) as u32))))?;
                end = end.max(x);
            }
            drawn(area.draw_text(&(self.label)(*value), &middle_left, (end + px(6.0, scale), middle)))?;
        }
        Ok(())
    }
}

/// Middle of a row below a panel's heading.
fn row_middle(row: usize, scale: f64) -> i32 {
    px(30.0 + ROW * (row as f64 + 0.5), scale)
}
