//! The publishing side: PUBLISH frames in one output buffer, replies counted in order.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::super::{FRAME_BYTES, NAME, check_length, fatal, no_topic};
use super::link::broken;
use crate::driver::socket::{Output, Socket};
use crate::driver::{AckRun, DriverError, Enqueued, Outcome, Publisher};
use crate::scenario::{TopicId, Topology};
use crate::wire::resp::{PublishFrame, Reply, integer_run, scan};

/// A publishing connection over a plain socket.
#[derive(Debug)]
pub struct WirePublisher {
    socket: Socket,
    topology: Topology,
    /// By topic; built at the first message there.
    frames: Vec<Option<PublishFrame>>,
    output: Output,
    answers: Answers,
}

/// Replies matched to messages by counting.
#[derive(Debug, Default)]
struct Answers {
    enqueued: u64,
    answered: u64,
    /// A refusal was put into the log already.
    told: bool,
}

impl WirePublisher {
    pub(super) fn new(socket: Socket, topology: &Topology) -> Self {
        Self {
            socket,
            frames: vec![None; topology.topics as usize],
            topology: topology.clone(),
            output: Output::default(),
            answers: Answers::default(),
        }
    }
}

impl Publisher for WirePublisher {
    #[inline]
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        check_length(payload)?;
        let more = self.topology.prefix.len() + FRAME_BYTES + payload.len();
        if !self.output.has_room(more) {
            return Ok(Enqueued::Full);
        }
        let frame = match self.frames.get_mut(topic.0 as usize) {
            Some(Some(frame)) => frame,
            Some(slot) => slot.insert(PublishFrame::new(self.topology.topic_name(topic).as_bytes())),
            None => return Err(no_topic(topic)),
        };
        frame.append(self.output.frames(), payload);
        self.answers.enqueued += 1;
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        let Self { socket, output, answers, .. } = self;
        poll_fn(|cx| output.poll_flush(cx, socket, |socket, _| answers.take(socket, each).map(drop))).await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            loop {
                ready!(self.socket.poll_read(cx))?;
                if self.answers.take(&mut self.socket, each)? {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }
}

impl Answers {
    /// Hands over all whole replies; whether there were any.
    fn take(&mut self, socket: &mut Socket, each: &mut impl FnMut(AckRun)) -> Result<bool, DriverError> {
        let before = self.answered;
        loop {
            let run = integer_run(socket.unread());
            socket.consume(run.length);
            self.hand_over(run.count, Outcome::Accepted, each)?;
            if socket.unread().is_empty() {
                break;
            }
            let (outcome, length) = match scan(socket.unread()).map_err(broken)? {
                None => break,
                Some((Reply::Integer(_), length)) => (Outcome::Accepted, length),
                Some((Reply::Error(text), length)) => {
                    self.tell(text);
                    (Outcome::Rejected, length)
                }
                Some(_) => return Err(fatal("the server answers PUBLISH with something else than a number")),
            };
            socket.consume(length);
            self.hand_over(1, outcome, each)?;
        }
        Ok(self.answered > before)
    }

    fn hand_over(
        &mut self,
        count: usize,
        outcome: Outcome,
        each: &mut impl FnMut(AckRun),
    ) -> Result<(), DriverError> {
        if count as u64 > self.enqueued - self.answered {
            return Err(fatal("the server answers more messages than it was sent"));
        }
        if count > 0 {
            each(AckRun { first: self.answered, count: count as u32, outcome });
            self.answered += count as u64;
        }
        Ok(())
    }

    /// The first refusal of a connection goes to the log with its words; all are counted.
    fn tell(&mut self, text: &[u8]) {
        if !self.told {
            self.told = true;
            tracing::warn!("{NAME}: PUBLISH was refused: {}", String::from_utf8_lossy(text));
        }
    }
}
