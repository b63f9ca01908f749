//! The JetStream-style engine killed, cut off from power, and on disks that fail or are full, all under load: what it
//! acknowledged is there when it is back.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can't go on panics, and says what it found or if it did not run"
)]

mod disk;
mod features;
mod kill;
mod load;
mod mount;
mod node;
mod power;
