//! Renders finished results (CSV, JSON, HDR logs, console table, charts, HTML); computes nothing.

pub mod charts;
mod error;
pub mod humanise;

pub use error::ReportError;
