//! Answers, joined to runs of consecutive messages.

use super::{AckRun, Outcome};

/// Joins answers that follow on from each other and hands each run over. What is left is handed over at the end.
pub(super) struct Runs<'a, F: FnMut(AckRun)> {
    each: &'a mut F,
    run: Option<AckRun>,
    /// Whether there was any.
    pub(super) came: bool,
}

impl<'a, F: FnMut(AckRun)> Runs<'a, F> {
    pub(super) fn new(each: &'a mut F) -> Self {
        Self { each, run: None, came: false }
    }

    /// What became of one message.
    #[inline]
    pub(super) fn add(&mut self, number: u64, outcome: Outcome) {
        self.came = true;
        match &mut self.run {
            Some(run)
                if run.outcome == outcome
                    && run.first + u64::from(run.count) == number
                    && run.count < u32::MAX =>
            {
                run.count += 1;
            }
            other => {
                if let Some(run) = other.replace(AckRun { first: number, count: 1, outcome }) {
                    (self.each)(run);
                }
            }
        }
    }
}

impl<F: FnMut(AckRun)> Drop for Runs<'_, F> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            (self.each)(run);
        }
    }
}
