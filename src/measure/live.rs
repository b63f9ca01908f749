//! What is known of a trial while it runs.

use super::record::Phase;

/// What is known of a running trial, several times a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Live<'a> {
    /// Name of the target.
    pub target: &'a str,
    /// Number of the trial, from 1.
    pub trial: u32,
    /// Number of trials of each target.
    pub trials: u32,
    /// The phase it is in.
    pub phase: Phase,
    /// Seconds since its start.
    pub seconds: f64,
    /// Seconds that warm-up and measurement take together, where that is known.
    pub of_seconds: Option<f64>,
    /// Messages per second that the schedule asks for; empty at rate `max`.
    pub offered_per_s: Option<f64>,
    /// Messages per second sent lately.
    pub published_per_s: f64,
    /// Deliveries per second lately.
    pub delivered_per_s: f64,
    /// Deliveries missing so far though later ones have come.
    pub lost_so_far: u64,
    /// 99th percentile of the delivery time lately, µs.
    pub p99_us: Option<f64>,
}
