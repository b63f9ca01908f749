//! The instrument's own reference: the least a broker can do, on one thread, with delays and
//! faults that are known exactly. Without any it is the null peer, against which the generator's ceiling and
//! floor on this machine are measured; with some, `busmark selftest` compares what was done to messages with
//! what was measured.

mod delay;
mod faults;
mod server;
mod speech;
mod streams;

pub use delay::delay;
pub use faults::{Faults, Stats, Step};
pub use server::{PeerError, serve};
pub use speech::Speech;
