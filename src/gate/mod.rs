//! Judges recorded trials: expectations (holds, fails, cannot be judged), and one target against another
//! (pass, fail, inconclusive).

mod blocks;
mod correctness;
mod course;
mod judge;
mod rank;
mod signed_rank;
mod stages;
mod value;

pub use blocks::{BLOCK_TRIALS, Block, Side, order, variation};
pub use correctness::{Fault, faults};
pub use course::{CHECK_TRIALS, Course, Decision, Outcome, REPEATS_MAX, Step};
pub use judge::{Answer, Judgement, Measured, judge};
pub use rank::{MedianInterval, TRIALS_MIN, median, median_interval};
pub use signed_rank::SignedRank;
pub use stages::{Design, Finding, First, Second, Series, holm};
pub use value::value;
