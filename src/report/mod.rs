//! Renders finished results (CSV, JSON, HDR logs, console table, charts, HTML); computes nothing.

pub mod charts;
mod columns;
mod console;
mod curve;
mod error;
mod estimate;
mod files;
mod folder;
mod gallery;
pub mod humanise;
mod json;
mod loaded;
mod manifest;
mod rows;
mod summary;
mod tables;

pub use columns::{Cell, Column, columns};
pub use console::{Page, console, markdown};
pub use curve::{Curve, shares};
pub use error::ReportError;
pub use estimate::{CONFIDENCE, Estimate, Interval};
pub use folder::ResultsFolder;
pub use gallery::{Picture, pictures};
pub use json::json;
pub use loaded::Loaded;
pub use manifest::{Build, Manifest, SCHEMA_VERSION, TargetManifest};
pub use summary::{Headline, Summary, TrialReason, headlines};
pub use tables::{Trial, summary as summary_csv};
