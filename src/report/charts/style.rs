//! The look of all charts: a palette that colour-blind people can tell apart, marks that do without it, one font.

use std::sync::OnceLock;

use plotters::style::{FontStyle, RGBColor, register_font};

use crate::report::error::ReportError;

/// Latin, digits and the signs used here, cut out of DejaVu Sans (licence beside it): the machine needs no fonts.
static FONT: &[u8] = include_bytes!("../../../assets/DejaVuSans-subset.ttf");

/// The family that charts ask for; an SVG viewer takes its own sans-serif.
pub(super) const FONT_FAMILY: &str = "sans-serif";
/// Text.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Axes and secondary text.
pub(super) const QUIET: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
/// Behind the phases that don't count.
pub(super) const SHADE: RGBColor = RGBColor(241, 241, 241);

/// Okabe and Ito's palette without its yellow, which is unreadable on white.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// The shape of a series' marks, so that colour never carries the meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Triangle,
    Square,
    Cross,
}

/// Colour of the nth series.
pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Mark of the nth series: changes with each, so that the same colour never meets the same mark within 28.
pub(super) fn mark(index: usize) -> Mark {
    [Mark::Circle, Mark::Triangle, Mark::Square, Mark::Cross][index % 4]
}

/// Makes the font known to plotters, once for the process.
pub(super) fn ready_font() -> Result<(), ReportError> {
    static READY: OnceLock<bool> = OnceLock::new();
    let ready = *READY.get_or_init(|| register_font(FONT_FAMILY, FontStyle::Normal, FONT).is_ok());
    if ready { Ok(()) } else { Err(ReportError::Chart("the embedded font can't be read".to_owned())) }
}
