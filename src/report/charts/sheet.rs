//! What every chart shares: the sheet with title, subtitle and legend, and its two encodings.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::style::{self, FONT_FAMILY, GRID, INK, Mark, QUIET};
use crate::report::error::ReportError;

/// Pixels of a PNG per unit of an SVG: sharp on dense screens.
const PNG_SCALE: f64 = 2.0;
/// Heights of title, subtitle and one row of the legend.
const TITLE_ROOM: f64 = 36.0;
const SUBTITLE_ROOM: f64 = 22.0;
const LEGEND_ROOM: f64 = 24.0;

/// A drawing area whose coordinates are pixels.
pub type Area<DB> = DrawingArea<DB, Shift>;

/// Something that can be drawn on any backend.
pub trait Chart {
    /// Width and height in SVG units.
    fn size(&self) -> (u32, u32);
    /// Draws the whole chart; lengths are multiplied by `scale`.
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>, scale: f64) -> Result<(), ReportError>
    where
        DB::ErrorType: 'static;
}

/// The chart as an SVG document.
///
/// # Errors
/// [`ReportError::Chart`] if plotters can't lay it out.
pub fn svg(chart: &impl Chart) -> Result<String, ReportError> {
    style::ready_font()?;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, chart.size()).into_drawing_area();
        draw(chart, &root, 1.0)?;
    }
    Ok(text)
}

/// The chart as a PNG file.
///
/// # Errors
/// [`ReportError::Chart`] if it can't be laid out or the file not be written.
pub fn png(chart: &impl Chart, path: &Path) -> Result<(), ReportError> {
    style::ready_font()?;
    let (width, height) = chart.size();
    let size = ((f64::from(width) * PNG_SCALE) as u32, (f64::from(height) * PNG_SCALE) as u32);
    draw(chart, &BitMapBackend::new(path, size).into_drawing_area(), PNG_SCALE)
}

fn draw<DB: DrawingBackend>(chart: &impl Chart, root: &Area<DB>, scale: f64) -> Result<(), ReportError>
where
    DB::ErrorType: 'static,
{
    drawn(root.fill(&WHITE))?;
    chart.draw(root, scale)?;
    drawn(root.present())
}

/// A drawing error in this room's words.
pub(super) fn drawn<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, ReportError> {
    result.map_err(|error| ReportError::Chart(error.to_string()))
}

/// A length in pixels.
pub(super) fn px(length: f64, scale: f64) -> i32 {
    (length * scale).round() as i32
}

/// Text of this size and colour.
pub(super) fn text_style<'a>(size: f64, colour: &RGBColor, scale: f64) -> TextStyle<'a> {
    (FONT_FAMILY, size * scale).into_font().color(colour)
}

/// One series of the legend: its name and which number it is.
pub(super) type LegendEntry<'a> = (&'a str, usize);

/// Writes title, subtitle and legend at the top, and gives back what is left below.
pub(super) fn heading<DB: DrawingBackend>(
    root: &Area<DB>,
    title: &str,
    subtitle: &str,
    legend: &[LegendEntry<'_>],
    scale: f64,
) -> Result<Area<DB>, ReportError>
where
    DB::ErrorType: 'static,
{
    let left = px(16.0, scale);
    drawn(root.draw_text(title, &text_style(20.0, &INK, scale), (left, px(12.0, scale))))?;
    let mut below = TITLE_ROOM;
    if !subtitle.is_empty() {
        drawn(root.draw_text(subtitle, &text_style(13.5, &QUIET, scale), (left, px(below + 4.0, scale))))?;
        below += SUBTITLE_ROOM;
    }
    if !legend.is_empty() {
        below = legend_rows(root, legend, below, scale)?;
    }
    Ok(root.margin(px(below, scale), px(8.0, scale), px(4.0, scale), px(44.0, scale)))
}

/// Lays the legend out in as many rows as it needs, and says where it ends.
fn legend_rows<DB: DrawingBackend>(
    root: &Area<DB>,
    legend: &[LegendEntry<'_>],
    top: f64,
    scale: f64,
) -> Result<f64, ReportError>
where
    DB::ErrorType: 'static,
{
    let style = text_style(14.0, &INK, scale);
    let right = root.dim_in_pixel().0 as i32 - px(16.0, scale);
    let (swatch, gap, first) = (px(26.0, scale), px(18.0, scale), px(16.0, scale));
    let (mut x, mut row) = (first, top);
    for &(name, index) in legend {
        let width = drawn(root.estimate_text_size(name, &style))?.0 as i32;
        if x > first && x + swatch + width > right {
            (x, row) = (first, row + LEGEND_ROOM);
        }
        let middle = px(row + LEGEND_ROOM / 2.0, scale);
        let line = vec![(x, middle), (x + px(20.0, scale), middle)];
        drawn(root.draw(&PathElement::new(line, stroke(index, 2.0, scale))))?;
        draw_mark(root, (x + px(10.0, scale), middle), index, scale)?;
        let middle_left = style.clone().pos(Pos::new(HPos::Left, VPos::Center));
        drawn(root.draw_text(name, &middle_left, (x + swatch, middle)))?;
        x += swatch + width + gap;
    }
    Ok(row + LEGEND_ROOM)
}

/// The line of the nth series.
pub(super) fn stroke(index: usize, width: f64, scale: f64) -> ShapeStyle {
    style::colour(index).stroke_width(px(width, scale).max(1) as u32)
}

/// The mark of the nth series at a pixel.
pub(super) fn draw_mark<DB: DrawingBackend>(
    area: &Area<DB>,
    (x, y): (i32, i32),
    index: usize,
    scale: f64,
) -> Result<(), ReportError>
where
    DB::ErrorType: 'static,
{
    let fill = style::colour(index).filled();
    let r = px(4.0, scale);
    match style::mark(index) {
        Mark::Circle => drawn(area.draw(&Circle::new((x, y), r, fill))),
        Mark::Triangle => drawn(area.draw(&TriangleMarker::new((x, y), r + 1, fill))),
        Mark::Square => drawn(area.draw(&Rectangle::new([(x - r, y - r), (x + r, y + r)], fill))),
        Mark::Cross => drawn(area.draw(&Cross::new((x, y), r, stroke(index, 2.0, scale)))),
    }
}

/// A pixel of the whole picture as a pixel of an area of it.
pub(super) fn within<DB: DrawingBackend>(area: &Area<DB>, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

/// A plot with its axes on.
pub(super) type Plot<'a, DB> = ChartContext<'a, DB, Cartesian2d<Axis, Axis>>;

/// Draws axes, grid and axis titles, and gives back the plot.
pub(super) fn plot<'a, DB: DrawingBackend>(
    area: &'a Area<DB>,
    (x, x_title): (Axis, &str),
    (y, y_title): (Axis, &str),
    scale: f64,
) -> Result<Plot<'a, DB>, ReportError>
where
    DB::ErrorType: 'static,
{
    let (x_ticks, y_ticks) = (x.tick_count(), y.tick_count());
    let x_room = if x_title.is_empty() { 28.0 } else { 48.0 };
    // What is measured stands above the plot: turned text is hard to read.
    drawn(area.draw_text(y_title, &text_style(13.0, &QUIET, scale), (px(12.0, scale), px(6.0, scale))))?;
    let plot = ChartBuilder::on(area)
        .margin_top(px(30.0, scale))
        .x_label_area_size(px(x_room, scale))
        .y_label_area_size(px(62.0, scale))
        .build_cartesian_2d(x, y);
    let mut plot = drawn(plot)?;
    let mut mesh = plot.configure_mesh();
    mesh.x_labels(x_ticks)
        .y_labels(y_ticks)
        .max_light_lines(0)
        .bold_line_style(GRID.stroke_width(px(1.0, scale) as u32))
        .axis_style(QUIET.stroke_width(px(1.0, scale) as u32))
        .label_style(text_style(13.0, &INK, scale))
        .axis_desc_style(text_style(13.0, &QUIET, scale));
    if !x_title.is_empty() {
        mesh.x_desc(x_title);
    }
    drawn(mesh.draw())?;
    Ok(plot)
}

/// Draws a series as a line; points that were not measured (NaN) break it.
pub(super) fn line<DB: DrawingBackend>(
    plot: &mut Plot<'_, DB>,
    points: &[(f64, f64)],
    style: ShapeStyle,
) -> Result<(), ReportError>
where
    DB::ErrorType: 'static,
{
    for run in points.split(|(_, y)| y.is_nan()).filter(|run| !run.is_empty()) {
        drawn(plot.draw_series(LineSeries::new(run.iter().copied(), style)))?;
    }
    Ok(())
}
