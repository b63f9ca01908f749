//! What both systems of a pair answered to each message.

use std::collections::VecDeque;

use crate::driver::runs::Runs;
use crate::driver::{AckRun, Outcome};

/// One of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

/// What the new system has to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// It was not written there.
    Never,
    /// Its answer is still to come.
    Open,
    /// It answered.
    Answered(Outcome),
}

/// A message without both answers.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    old: Option<Outcome>,
    new: There,
}

/// The messages of one publishing connection that wait for an answer. Both systems count what they are given from 0; the
/// old one is given all.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// From number `first` on; none once decided.
    waiting: VecDeque<Option<Waiting>>,
    first: u64,
    /// The numbers of the messages that the new system was given, from its `given_first`th on.
    given: VecDeque<u64>,
    given_first: u64,
    /// Messages that the new system refused before it counted them.
    refused: Vec<u64>,
    /// Messages that one system took and the other refused: nobody can call them accepted or rejected.
    pub(super) split: u64,
}

impl Answers {
    /// The old system was given the next message; whether the new one is to have it, too.
    pub(super) fn written(&mut self, both: bool) {
        let new = if both { There::Open } else { There::Never };
        self.waiting.push_back(Some(Waiting { old: None, new }));
    }

    /// The new system was given that message, too.
    pub(super) fn given(&mut self) {
        self.given.push_back(self.newest());
    }

    /// The new system refused that message at once.
    pub(super) fn refused(&mut self) {
        self.refused.push(self.newest());
    }

    fn newest(&self) -> u64 {
        (self.first + self.waiting.len() as u64).saturating_sub(1)
    }

    /// Notes what a system answered and hands over what is decided by it.
    pub(super) fn note(&mut self, side: Side, run: AckRun, runs: &mut Runs<'_, impl FnMut(AckRun)>) {
        for number in std::mem::take(&mut self.refused) {
            self.answered(Side::New, number, Outcome::Rejected, runs);
        }
        for at in run.first..run.first + u64::from(run.count) {
            let number = match side {
                Side::Old => at,
                Side::New => {
                    match at.checked_sub(self.given_first).and_then(|at| self.given.get(at as usize)) {
                        Some(&number) => number,
                        None => continue,
                    }
                }
            };
            self.answered(side, number, run.outcome, runs);
        }
        while self.waiting.front().is_some_and(Option::is_none) {
            self.waiting.pop_front();
            self.first += 1;
        }
        while self.given.front().is_some_and(|&number| number < self.first) {
            self.given.pop_front();
            self.given_first += 1;
        }
    }

    fn answered(
        &mut self,
        side: Side,
        number: u64,
        outcome: Outcome,
        runs: &mut Runs<'_, impl FnMut(AckRun)>,
    ) {
        let index = number.checked_sub(self.first).map(|index| index as usize);
        let Some(slot) = index.and_then(|index| self.waiting.get_mut(index)) else { return };
        let Some(waiting) = slot else { return };
        match side {
            Side::Old => waiting.old = Some(outcome),
            Side::New => waiting.new = There::Answered(outcome),
        }
        match (waiting.old, waiting.new) {
            (None, _) | (_, There::Open) => return,
            (Some(old), There::Never) => runs.add(number, old),
            (Some(old), There::Answered(new)) if old == new => runs.add(number, old),
            (Some(_), There::Answered(_)) => self.split += 1,
        }
        *slot = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Accepted, Rejected};
    use proptest::prelude::*;

    /// What is handed over for one answer.
    fn note(answers: &mut Answers, side: Side, first: u64, count: u32, outcome: Outcome) -> Vec<AckRun> {
        let mut all = Vec::new();
        let mut each = |run| all.push(run);
        answers.note(side, AckRun { first, count, outcome }, &mut Runs::new(&mut each));
        all
    }

    fn run(first: u64, count: u32, outcome: Outcome) -> AckRun {
        AckRun { first, count, outcome }
    }

    #[test]
    fn a_message_is_accepted_once_both_have_it_and_before_the_new_one_is_there_once_the_old_has() {
        let mut answers = Answers::default();
        answers.written(false);
        for _ in 0..3 {
            answers.written(true);
            answers.given();
        }
        assert_eq!(note(&mut answers, Side::Old, 0, 3, Accepted), [run(0, 1, Accepted)]);
        // The new system's first message is ours with number 1.
        assert_eq!(note(&mut answers, Side::New, 0, 3, Accepted), [run(1, 2, Accepted)]);
        assert_eq!(note(&mut answers, Side::Old, 3, 1, Accepted), [run(3, 1, Accepted)]);
        assert_eq!((answers.split, answers.waiting.len(), answers.given.len()), (0, 0, 0));
    }

    #[test]
    fn what_one_takes_and_the_other_refuses_is_neither_and_is_counted() {
        let mut answers = Answers::default();
        for _ in 0..2 {
            answers.written(true);
            answers.given();
        }
        answers.written(true);
        answers.refused();
        assert_eq!(note(&mut answers, Side::New, 0, 2, Rejected), []);
        assert_eq!(note(&mut answers, Side::Old, 0, 1, Accepted), []);
        assert_eq!(note(&mut answers, Side::Old, 1, 1, Rejected), [run(1, 1, Rejected)]);
        assert_eq!(note(&mut answers, Side::Old, 2, 1, Accepted), []);
        assert_eq!((answers.split, answers.waiting.len()), (2, 0));
    }

    proptest! {
        /// In whatever order two systems answer, each message is decided once, by the later answer.
        #[test]
        fn every_message_is_decided_once_and_only_when_both_have_answered(
            alone in 0usize..20, both in 1usize..60, seed in any::<u64>(),
        ) {
            let mut answers = Answers::default();
            (0..alone).for_each(|_| answers.written(false));
            for _ in 0..both {
                answers.written(true);
                answers.given();
            }
            let old = (0..alone + both).map(|at| (Side::Old, at as u64));
            let new = (0..both).map(|at| (Side::New, at as u64));
            let mut order: Vec<(Side, u64)> = old.chain(new).collect();
            let mut prng = crate::prng::Prng::split(seed, 1);
            prng.shuffle(&mut order);
            let mut answered = vec![[false; 2]; alone + both];
            answered[..alone].iter_mut().for_each(|sides| sides[1] = true);
            let mut decided = 0;
            for (side, at) in order {
                let number = if side == Side::Old { at as usize } else { at as usize + alone };
                answered[number][usize::from(side == Side::New)] = true;
                let handed = note(&mut answers, side, at, 1, Accepted);
                let expected = if answered[number] == [true, true] { vec![run(number as u64, 1, Accepted)] } else { Vec::new() };
                decided += expected.len();
                prop_assert_eq!(handed, expected);
            }
            prop_assert_eq!(decided, alone + both);
            prop_assert_eq!((answers.waiting.len(), answers.given.len()), (0, 0));
        }
    }
}
