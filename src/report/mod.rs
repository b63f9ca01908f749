//! Renders finished results (CSV, JSON, HDR logs, console table, charts, HTML); computes nothing.

pub mod charts;
mod columns;
mod compare;
mod console;
mod curve;
mod error;
mod estimate;
mod files;
mod folder;
mod gallery;
mod html;
pub mod humanise;
mod inventory;
mod json;
mod loaded;
mod manifest;
mod progress;
mod rows;
mod summary;
mod tables;

pub use columns::{Cell, Column, columns};
pub use compare::{Compared, Comparison, Difference};
pub use console::{Page, console, markdown};
pub use curve::{Curve, shares};
pub use error::ReportError;
pub use estimate::{CONFIDENCE, Estimate, Interval, Ratio};
pub use folder::{ResultsFolder, redraw};
pub use gallery::{Picture, pictures};
pub use html::html;
pub use inventory::{Listed, State, inventory};
pub use json::json;
pub use loaded::Loaded;
pub use manifest::{Build, Manifest, SCHEMA_VERSION, TargetManifest};
pub use progress::Progress;
pub use summary::{Headline, Summary, TrialReason, headlines};
pub use tables::{Trial, summary as summary_csv};
