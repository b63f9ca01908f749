//! How a run is going: a bar that moves on a terminal, a plain line every few seconds anywhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::humanise;
use crate::clock::{Clock, Nanos};
use crate::measure::{Live, Phase};

/// Between two plain lines of a trial.
const LINE_EVERY: Nanos = 5_000_000_000;
/// Steps of a bar per second of a trial.
const STEPS: f64 = 10.0;

/// Shows how a run is going on stderr. Dropping it takes the bar away.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines { clock: Clock, last: Option<(String, u32, Phase, Nanos)> },
}

impl Progress {
    /// Says nothing (`--quiet`).
    #[must_use]
    pub fn quiet() -> Self {
        Self { shown: Shown::Nothing }
    }

    /// A bar, drawn on stderr, for a terminal.
    #[must_use]
    pub fn bar() -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:.bold} {bar:24} {msg}");
        bar.set_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()).progress_chars("━╸ "));
        Self { shown: Shown::Bar(bar) }
    }

    /// Plain lines for everything that is no terminal; [`Progress::update`] gives them back.
    #[must_use]
    pub fn lines(clock: Clock) -> Self {
        Self { shown: Shown::Lines { clock, last: None } }
    }

    /// Shows the latest of a running trial. Gives a line to print where there is no bar: one at each new
    /// trial and phase, then every five seconds.
    #[must_use]
    pub fn update(&mut self, live: &Live<'_>) -> Option<String> {
        match &mut self.shown {
            Shown::Nothing => None,
            Shown::Bar(bar) => {
                bar.set_length(steps(live.of_seconds.unwrap_or(live.seconds)).max(1));
                bar.set_position(steps(live.seconds));
                bar.set_prefix(prefix(live));
                bar.set_message(figures(live));
                None
            }
            Shown::Lines { clock, last } => {
                let now = clock.now();
                let due = last.as_ref().is_none_or(|(target, trial, phase, at)| {
                    (target.as_str(), *trial, *phase) != (live.target, live.trial, live.phase)
                        || now.saturating_sub(*at) >= LINE_EVERY
                });
                due.then(|| {
                    *last = Some((live.target.to_owned(), live.trial, live.phase, now));
                    format!("{} {}", prefix(live), figures(live))
                })
            }
        }
    }

    /// Lets a line be said above the bar; gives it back where there is none.
    #[must_use]
    pub fn say(&self, line: &str) -> Option<String> {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.println(line);
                None
            }
            Shown::Nothing | Shown::Lines { .. } => Some(line.to_owned()),
        }
    }

    /// Takes the bar away, before anything else is printed.
    pub fn clear(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn steps(seconds: f64) -> u64 {
    (seconds * STEPS) as u64
}

fn prefix(live: &Live<'_>) -> String {
    format!("{} {}/{}", live.target, live.trial, live.trials)
}

/// Where it is, the rates, the latency and what is missing, in one line.
fn figures(live: &Live<'_>) -> String {
    let whole = |seconds: f64| Duration::from_secs(seconds.round() as u64).as_secs();
    let time = match live.of_seconds {
        Some(of) => format!("{}/{} s", whole(live.seconds), whole(of)),
        None => format!("{} s", whole(live.seconds)),
    };
    let offered = live.offered_per_s.map(|rate| format!(" of {}", humanise::rate(rate))).unwrap_or_default();
    let p99 = live.p99_us.map_or_else(|| humanise::NOT_MEASURED.to_owned(), humanise::micros);
    format!(
        "{} {time}: published {}{offered}, delivered {}, p99 {p99}, missing {}",
        live.phase.name(),
        humanise::rate(live.published_per_s),
        humanise::rate(live.delivered_per_s),
        humanise::count(live.lost_so_far),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(target: &str, phase: Phase, seconds: f64) -> Live<'_> {
        Live {
            target,
            trial: 2,
            trials: 5,
            phase,
            seconds,
            of_seconds: Some(12.0),
            offered_per_s: Some(20_000.0),
            published_per_s: 19_998.0,
            delivered_per_s: 19_990.0,
            lost_so_far: 1_234,
            p99_us: Some(264.0),
        }
    }

    #[test]
    fn without_a_terminal_there_is_a_line_at_each_phase_and_every_five_seconds() {
        let clock = Clock::manual();
        let mut progress = Progress::lines(clock.clone());
        let mut said = Vec::new();
        for tenth in 0..120 {
            let phase = if tenth < 20 { Phase::WarmUp } else { Phase::Measure };
            said.extend(progress.update(&live("redis-8", phase, f64::from(tenth) / 10.0)));
            clock.advance(100_000_000);
        }
        assert_eq!(said.len(), 3, "{said:#?}");
        assert_eq!(
            said[1],
            "redis-8 2/5 measure 2/12 s: published 20.0 k/s of 20.0 k/s, delivered 20.0 k/s, p99 264 µs, missing 1,234"
        );
        assert!(progress.update(&live("nats", Phase::Measure, 12.0)).is_some(), "another target is news");
    }

    #[test]
    fn quiet_says_nothing_and_a_bar_gives_no_lines() {
        assert_eq!(Progress::quiet().update(&live("a", Phase::Drain, 1.0)), None);
        assert_eq!(Progress::bar().update(&live("a", Phase::Drain, 1.0)), None);
        assert_eq!(Progress::quiet().say("left out").as_deref(), Some("left out"));
    }
}
