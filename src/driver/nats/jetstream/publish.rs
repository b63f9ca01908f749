//! Publishing with a sliding window: the answers come to an inbox of our own, each with its message's number
//! in the subject, and nobody waits for one of them.

use async_nats::Message;

use super::super::link::Link;
use super::super::outbox::{Outbox, ReplyTo};
use super::super::streams::Streams;
use super::super::subjects::Subjects;
use super::ack;
use crate::driver::{self, AckRun, DriverError, Enqueued, Outcome};
use crate::scenario::TopicId;

/// Answers that may wait to be read on one connection, above any in-flight window; further ones are lost, and
/// their messages stay unknown.
pub(super) const ANSWERS_MAX: usize = 1 << 20;

/// A connection that publishes.
pub struct Publisher {
    link: Link,
    outbox: Outbox,
    answers: Streams,
    /// Where answers go, with a dot at the end.
    inbox: String,
    enqueued: u64,
}

impl Publisher {
    pub(super) async fn open(link: Link, subjects: &Subjects) -> Result<Self, DriverError> {
        let inbox = format!("{}.", link.client().new_inbox());
        let subscribed = link.client().subscribe(format!("{inbox}*")).await;
        let mut answers = Streams::new();
        answers.add(0, subscribed.map_err(|_| link.disconnected())?);
        link.barrier().await?;
        Ok(Self { link, outbox: Outbox::new(subjects.table()), answers, inbox, enqueued: 0 })
    }
}

impl driver::Publisher for Publisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        let reply = ReplyTo { start: &self.inbox, index: self.enqueued };
        let enqueued = self.outbox.enqueue(&self.link, topic.0, Some(reply), payload)?;
        if enqueued == Enqueued::Yes {
            self.enqueued += 1;
        }
        Ok(enqueued)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        loop {
            tokio::select! {
                biased;
                flushed = self.outbox.flush(&self.link) => return flushed,
                answers = self.answers.next(&self.link) => hand_over(&self.inbox, &answers?.1, each),
            }
        }
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        let (_, answers) = self.answers.next(&self.link).await?;
        hand_over(&self.inbox, &answers, each);
        Ok(())
    }
}

/// Joins answers to consecutive messages with equal outcomes into runs.
fn hand_over(inbox: &str, answers: &[Message], each: &mut impl FnMut(AckRun)) {
    let numbered = answers.iter().filter_map(|answer| {
        let number: u64 = answer.subject.strip_prefix(inbox)?.parse().ok()?;
        Some((number, ack::outcome(answer)))
    });
    runs(numbered, each);
}

fn runs(answers: impl Iterator<Item = (u64, Outcome)>, each: &mut impl FnMut(AckRun)) {
    let mut open: Option<AckRun> = None;
    for (number, outcome) in answers {
        match &mut open {
            Some(run) if run.outcome == outcome && run.first + u64::from(run.count) == number => {
                run.count += 1
            }
            _ => {
                if let Some(done) = open.replace(AckRun { first: number, count: 1, outcome }) {
                    each(done);
                }
            }
        }
    }
    if let Some(done) = open {
        each(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_answers_with_equal_outcomes_become_one_run() {
        use Outcome::{Accepted, Rejected};
        let answers =
            [(4, Accepted), (5, Accepted), (6, Rejected), (7, Accepted), (9, Accepted), (8, Accepted)];
        let mut seen = Vec::new();
        runs(answers.into_iter(), &mut |run| seen.push((run.first, run.count, run.outcome)));
        assert_eq!(
            seen,
            [(4, 2, Accepted), (6, 1, Rejected), (7, 1, Accepted), (9, 1, Accepted), (8, 1, Accepted)]
        );
        runs([].into_iter(), &mut |_| panic!("there is no run in nothing"));
    }
}
