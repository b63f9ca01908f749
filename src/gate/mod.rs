//! Judges recorded trials: expectations (holds, fails, cannot be judged), and one target against another
//! (pass, fail, inconclusive).

mod blocks;
mod capacity;
mod correctness;
mod course;
mod judge;
mod limit;
mod objective;
mod outcome;
mod rank;
mod rank_sum;
mod search;
mod signed_rank;
mod stages;
mod value;

pub use blocks::{BLOCK_TRIALS, Block, Side, order, variation};
pub use capacity::{Attempt, Capacity, Rung};
pub use correctness::{COUNTS_ALPHA, Fault, faults};
pub use course::{CHECK_TRIALS, COUNT_TRIALS, Course, REPEATS_MAX, Step};
pub use judge::{Answer, Judgement, Measured, judge};
pub use limit::{Bottleneck, Limit, Supply, limit};
pub use objective::{Met, met};
pub use outcome::{Decision, Noise, Outcome, Reached};
pub use rank::{MedianInterval, TRIALS_MIN, median, median_interval};
pub use rank_sum::RankSum;
pub use search::{Found, Next, Reach, Search, Tried};
pub use signed_rank::SignedRank;
pub use stages::{Apart, Design, Evidence, Finding, First, Ranks, Second, Series, holm};
pub use value::value;
