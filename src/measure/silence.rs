//! The longest time in which nothing was heard: how long an outage lasted, seen from outside.

use crate::clock::Nanos;

/// A stretch of time, since the start of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stretch {
    /// When it began.
    pub from: Nanos,
    /// When it ended.
    pub to: Nanos,
}

impl Stretch {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Nanos {
        self.to.saturating_sub(self.from)
    }

    /// The longer of two.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        if other.length() > self.length() { other } else { self }
    }
}

/// Listens to one receiver or connection from the start of the measured phase on.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    last: Nanos,
    longest: Stretch,
    /// Nothing is to be heard now: it is away by the scenario's wish.
    excused: bool,
}

impl Silence {
    /// Nothing heard yet of a phase that begins at `from`.
    #[must_use]
    pub fn since(from: Nanos) -> Self {
        Self { last: from, longest: Stretch::default(), excused: false }
    }

    /// Something was heard at `at`, in order.
    #[inline]
    pub fn heard(&mut self, at: Nanos) {
        if at > self.last {
            if at - self.last > self.longest.length() && !self.excused {
                self.longest = Stretch { from: self.last, to: at };
            }
            self.last = at;
        }
    }

    /// From `at` on nothing is to be expected, or everything again.
    pub fn excuse(&mut self, excused: bool, at: Nanos) {
        if self.excused && !excused {
            self.last = self.last.max(at);
        }
        self.excused = excused;
    }

    /// The longest silence up to `end`, when nothing more is to come; what was heard later doesn't matter.
    #[must_use]
    pub fn until(&self, end: Nanos) -> Stretch {
        let cut = Stretch { from: self.longest.from.min(end), to: self.longest.to.min(end) };
        if self.excused { cut } else { cut.longer(Stretch { from: self.last.min(end), to: end }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_counts_from_the_start_and_to_the_end() {
        let mut silence = Silence::since(100);
        assert_eq!(silence.until(150).length(), 50, "nothing was ever heard");
        for at in [90, 110, 120, 160, 165] {
            silence.heard(at);
        }
        assert_eq!(silence.until(170), Stretch { from: 120, to: 160 });
        assert_eq!(silence.until(300), Stretch { from: 165, to: 300 });
        assert_eq!(silence.until(130).length(), 10, "only what lies before the end counts");
    }

    #[test]
    fn who_is_away_by_the_scenarios_wish_is_not_silent() {
        let mut silence = Silence::since(0);
        silence.heard(10);
        silence.excuse(true, 10);
        silence.excuse(false, 500);
        silence.heard(520);
        assert_eq!(silence.until(520), Stretch { from: 500, to: 520 });
        silence.excuse(true, 520);
        assert_eq!(silence.until(900).length(), 20);
    }
}
