//! Exit codes, and the words that go with them.

use std::process::ExitCode;

/// How the command ends. When several apply, the worst one wins: see [`Exit::worst`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All expectations hold.
    Good,
    /// An expectation fails.
    Fails,
    /// The arguments or the scenario are wrong.
    Usage,
    /// An expectation can't be judged, or the run is INVALID.
    Inconclusive,
    /// A target could not be reached or started.
    Missing,
    /// Ctrl-C or SIGTERM; what was measured so far is written.
    Interrupted,
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Good => 0,
            Self::Fails => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Missing => 4,
            Self::Interrupted => 130,
        })
    }

    /// The worst: interrupted, then missing, then fails, then inconclusive.
    pub(super) fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        let rank = |exit: &Self| match exit {
            Self::Good => 0,
            Self::Inconclusive => 1,
            Self::Fails => 2,
            Self::Missing => 3,
            Self::Usage => 4,
            Self::Interrupted => 5,
        };
        exits.into_iter().max_by_key(rank).unwrap_or(Self::Good)
    }
}

/// Says something on stderr.
#[expect(clippy::print_stderr, reason = "the command line owns stderr")]
pub(super) fn complain(text: &str) {
    eprintln!("{text}");
}

/// Says something on stdout.
#[expect(clippy::print_stdout, reason = "the command line owns stdout")]
pub(super) fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_a_missing_target_before_a_failure_before_no_answer() {
        use Exit::*;
        assert_eq!(Exit::worst([Good, Inconclusive, Fails]), Fails);
        assert_eq!(Exit::worst([Fails, Missing, Inconclusive]), Missing);
        assert_eq!(Exit::worst([Missing, Interrupted]), Interrupted);
        assert_eq!(Exit::worst([]), Good);
    }
}
