//! Judges recorded trials against expectations: holds, fails, or cannot be judged, with the reason.

mod judge;
mod rank;
mod value;

pub use judge::{Answer, Judgement, Measured, judge};
pub use rank::{MedianInterval, TRIALS_MIN, median, median_interval};
pub use value::value;
