//! Decides when each message is meant to go and how many may be in flight.
//!
//! Intended send times are arithmetic on the scenario alone ([`Schedule`]); the [`Pacer`] waits for them and
//! says how late it was itself; the [`Window`] says how many messages may be under way.

mod chosen;
mod curve;
mod pacer;
mod presence;
mod schedule;
mod spin;
mod timer;
mod window;

pub use chosen::{Lanes, Sizes};
pub use curve::{Curve, PIECES_PER_PERIOD};
pub use pacer::{Pacer, PacerHandle};
pub use presence::{Change, Presence};
pub use schedule::{Due, Limit, Pace, Schedule, Turn};
pub use spin::{SPIN_MAX, SpinMeter};
pub use timer::Timer;
pub use window::{Progress, Window};
