//! `busmark gate` and `busmark baseline` as a CI job meets them.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod baseline;
mod ci;
mod decide;
mod stage;
