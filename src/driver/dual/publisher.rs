//! The publishing side: a connection to each of the two systems.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::State;
use super::answers::{Answers, Side};
use crate::driver::any::AnyPublisher;
use crate::driver::runs::Runs;
use crate::driver::{AckRun, DriverError, Enqueued, ErrorKind, Publisher};
use crate::scenario::TopicId;

/// Publishes to two systems.
pub(crate) struct DualPublisher {
    old: AnyPublisher,
    new: AnyPublisher,
    state: Arc<State>,
    answers: Answers,
    /// The old system has the message that is offered next, and the new one had no room for it.
    half: bool,
}

impl DualPublisher {
    pub(super) fn new(old: AnyPublisher, new: AnyPublisher, state: Arc<State>) -> Self {
        Self { old, new, state, answers: Answers::default(), half: false }
    }
}

impl Publisher for DualPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        if !self.half {
            // What the old system refuses, the new one never sees.
            if self.old.enqueue(topic, payload)? == Enqueued::Full {
                return Ok(Enqueued::Full);
            }
            let both = self.state.writes_both();
            self.answers.written(both);
            if !both {
                return Ok(Enqueued::Yes);
            }
        }
        self.half = false;
        match self.new.enqueue(topic, payload) {
            Ok(Enqueued::Yes) => self.answers.given(),
            Ok(Enqueued::Full) => {
                self.half = true;
                return Ok(Enqueued::Full);
            }
            Err(error) if error.kind == ErrorKind::Rejected => self.answers.refused(),
            Err(error) => return Err(error),
        }
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        let Self { old, new, answers, .. } = self;
        let mut runs = Runs::new(each);
        old.flush(&mut |run| answers.note(Side::Old, run, &mut runs)).await?;
        new.flush(&mut |run| answers.note(Side::New, run, &mut runs)).await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        let Self { old, new, answers, .. } = self;
        let noting = RefCell::new((answers, Runs::new(each)));
        let note = |side, run| {
            let (answers, runs) = &mut *noting.borrow_mut();
            answers.note(side, run, runs);
        };
        let (mut of_old, mut of_new) = (|run| note(Side::Old, run), |run| note(Side::New, run));
        while !noting.borrow().1.came {
            tokio::select! {
                answered = old.acks(&mut of_old) => answered?,
                answered = new.acks(&mut of_new) => answered?,
            }
        }
        Ok(())
    }
}

/// Leaves behind what it counted.
impl Drop for DualPublisher {
    fn drop(&mut self) {
        self.state.split.fetch_add(self.answers.split, Ordering::Relaxed);
    }
}
