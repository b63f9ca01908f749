//! Publishing with a sliding window: the answers come to an inbox of our own, each with its message's number
//! in the subject, and nobody waits for one of them.

use async_nats::Message;

use super::super::ack;
use super::super::subjects::Subjects;
use super::link::Link;
use super::outbox::{Outbox, ReplyTo};
use super::streams::Streams;
use crate::driver::{self, AckRun, DriverError, Enqueued};
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

/// Says what became of the messages that these answers are to.
fn hand_over(inbox: &str, answers: &[Message], each: &mut impl FnMut(AckRun)) {
    let numbered = answers.iter().filter_map(|answer| {
        let number: u64 = answer.subject.strip_prefix(inbox)?.parse().ok()?;
        let status = answer.status.map(|status| status.as_u16());
        Some((number, ack::outcome(status, &answer.payload)))
    });
    ack::runs(numbered, each);
}
