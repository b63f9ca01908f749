//! Records what happened in fixed memory, and sums it up.
//!
//! Imports no other room: the caller tells it who publishes on which lane and which receiver expects it.

mod audience;
mod books;
mod closing;
mod conditions;
mod diagnosis;
pub mod hiccup;
mod histogram;
mod hlog;
pub mod host;
mod lane_book;
mod ledger;
mod live;
mod pin;
mod quantile;
mod record;
mod recorder;
mod silence;
mod slowest;
mod stamp;
pub mod statistics;
mod summary;
mod tally;
mod timeline;
mod trail;
pub mod verdict;
mod window;

pub use audience::{AudienceRecord, Heard, close_audience};
pub use books::{ANSWERS, Answer, Books, FATES, Fate, Table};
pub use closing::{Closing, close_books, close_counting};
pub use conditions::Conditions;
pub use diagnosis::{Diagnosis, Weight, diagnose};
pub use hiccup::Hiccups;
pub use histogram::{BEYOND_CENTRE, BEYOND_P99, CoarseHistogram, DIGITS, HIGHEST, LatencyHistogram};
pub use hlog::IntervalLog;
pub use host::{CpuTimes, Environment, Host, ThreadTime, Threads};
pub use lane_book::{LaneBook, MIN_WINDOW};
pub use ledger::{Arrival, Arrivals, CountingLedger, Judging, LedgerSums, ReceiverLedger};
pub use live::Live;
pub use quantile::{Quantile, Quantiles};
pub use record::{
    Backlog, CounterChange, Counts, EventRecord, Grade, Latencies, NodeResources, Outage, Phase, Reason,
    ReasonCode, Resources, SlowMessage, ThreadShare, TimelineRow, TrialRecord, Verdict,
};
pub use recorder::{DeliveryRecorder, DeliveryRest, PublishRecorder, Times};
pub use silence::{Silence, Stretch};
pub use slowest::{SLOWEST, Slowest};
pub use stamp::{LONG_BYTES, Opened, STAMP_BYTES, Sealer, Stamp, StampError, Tail, body_sum};
pub use summary::Ranking;
pub use tally::Tally;
pub use timeline::{Collected, INTERVAL, Timeline, Totals};
pub use trail::{MessageId, Trace, Trail};
pub use verdict::{Evidence, LittleEvidence, ThreadEvidence, WarmUpEvidence, judge};
pub use window::{LedgerExtent, MEMORY_CAP_BYTES, SMALLEST_WINDOW, memory_for, window_for};
