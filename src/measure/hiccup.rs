//! What the machine does to a sleeper: one idle thread per core asks to be woken every millisecond and notes
//! how late it is. Nothing of the system under test is in that, so a latency that the sleepers suffer as well
//! is the machine's (after Gil Tene's jHiccup).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::histogram::LatencyHistogram;
use super::pin::stay_on_core;
use crate::clock::{Clock, Nanos};

/// How long a sleeper sleeps.
const NAP: Nanos = 1_000_000;
/// Naps that one lateness stands for at most: 10 s of them. Longer ones are recorded, but not unfolded further.
const UNFOLD_MAX: u64 = 10_000;

#[derive(Debug, Default)]
struct Shared {
    stopped: Mutex<bool>,
    bell: Condvar,
    recording: AtomicBool,
    naps: AtomicU64,
}

/// Running sleepers. Dropping them stops them.
#[derive(Debug)]
pub struct Hiccups {
    shared: Arc<Shared>,
    sleepers: Vec<JoinHandle<LatencyHistogram>>,
}

impl Hiccups {
    /// Starts a sleeper on each of `cores` cores, pinned where the system allows it. They record from
    /// [`Self::record`] on.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(clock: &Clock, cores: usize) -> std::io::Result<Self> {
        let mut hiccups = Self { shared: Arc::default(), sleepers: Vec::with_capacity(cores) };
        for core in 0..cores {
            let (clock, shared) = (clock.clone(), hiccups.shared.clone());
            let sleeper = std::thread::Builder::new().name(format!("hiccup-{core}")).spawn(move || {
                stay_on_core(core);
                sleep_until_stopped(&clock, &shared)
            })?;
            hiccups.sleepers.push(sleeper);
        }
        Ok(hiccups)
    }

    /// The measured phase begins.
    pub fn record(&self) {
        self.shared.recording.store(true, Ordering::Relaxed);
    }

    /// Naps recorded so far, all sleepers together.
    #[must_use]
    pub fn naps(&self) -> u64 {
        self.shared.naps.load(Ordering::Relaxed)
    }

    /// Stops the sleepers and returns the lateness each has seen, core by core.
    #[must_use]
    pub fn stop(mut self) -> Vec<LatencyHistogram> {
        self.ring();
        std::mem::take(&mut self.sleepers).into_iter().filter_map(|sleeper| sleeper.join().ok()).collect()
    }

    fn ring(&self) {
        *self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.bell.notify_all();
    }
}

impl Drop for Hiccups {
    fn drop(&mut self) {
        self.ring();
        for sleeper in self.sleepers.drain(..) {
            // A sleeper that panicked has nothing to tell.
            let _ = sleeper.join();
        }
    }
}

fn sleep_until_stopped(clock: &Clock, shared: &Shared) -> LatencyHistogram {
    let mut seen = LatencyHistogram::new();
    let mut stopped = shared.stopped.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        let asleep = clock.now();
        let (guard, _) = shared
            .bell
            .wait_timeout(stopped, Duration::from_nanos(NAP))
            .unwrap_or_else(PoisonError::into_inner);
        stopped = guard;
        let slept = clock.now().saturating_sub(asleep);
        if *stopped || slept < NAP || !shared.recording.load(Ordering::Relaxed) {
            continue;
        }
        shared.naps.fetch_add(1, Ordering::Relaxed);
        note(&mut seen, slept - NAP);
    }
    seen
}

/// Notes a lateness, and the naps that could not begin meanwhile: a stall of a second is a thousand late
/// sleepers, not one (otherwise this would omit in a coordinated manner what it is there to find).
fn note(seen: &mut LatencyHistogram, late: Nanos) {
    for missed in 0..=(late / NAP).min(UNFOLD_MAX) {
        seen.record(late - missed * NAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_record_only_when_told_and_stop_at_once() {
        let clock = Clock::real();
        let hiccups = Hiccups::start(&clock, 2).unwrap();
        assert_eq!(hiccups.naps(), 0);
        hiccups.record();
        while hiccups.naps() < 20 {
            assert!(clock.now() < 20_000_000_000, "20 naps of 1 ms took 20 s");
            std::thread::yield_now();
        }
        let seen = hiccups.stop();
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().map(LatencyHistogram::count).sum::<u64>() >= 20);
    }

    #[test]
    fn a_long_stall_counts_as_all_the_naps_it_swallowed() {
        let mut seen = LatencyHistogram::new();
        (0..600).for_each(|_| note(&mut seen, 50_000));
        note(&mut seen, 400 * NAP);
        assert_eq!(seen.count(), 600 + 401);
        let p90 = seen.quantiles(0).p90.unwrap().micros();
        assert!(p90 > 250_000.0, "{p90} µs");
    }

    #[test]
    fn dropping_them_stops_them() {
        drop(Hiccups::start(&Clock::real(), 1).unwrap());
    }
}
