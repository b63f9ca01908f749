//! Records what happened in fixed memory, and sums it up.
//!
//! Imports no other room: the caller tells it who publishes on which lane and which receiver expects it.

mod books;
mod quantile;
mod record;
mod stamp;

pub use books::{ANSWERS, Answer, Books, FATES, Fate, Table};
pub use quantile::{Quantile, Quantiles};
pub use record::{
    CounterChange, Counts, Grade, Latencies, Phase, Reason, ReasonCode, Resources, SlowMessage, TimelineRow,
    TrialRecord, Verdict,
};
pub use stamp::{LONG_BYTES, Opened, STAMP_BYTES, Sealer, Stamp, StampError, Tail, body_sum};
