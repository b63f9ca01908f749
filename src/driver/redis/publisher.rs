//! The publishing side: frames in one output buffer, replies counted in order.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::{FRAME_BYTES, broken, check_length, fatal};
use crate::driver::socket::{Output, Socket};
use crate::driver::{AckRun, DriverError, Enqueued, Outcome, Publisher};
use crate::scenario::{TopicId, Topology};
use crate::wire::resp::{PublishFrame, Reply, bulk_run, integer_run, scan};

/// What publishes a message, and how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Verb {
    /// PUBLISH to a channel, answered by the number of receivers.
    Publish,
    /// XADD to a stream, answered by the entry's id. With a limit, the stream keeps so many entries.
    Add {
        /// Entries kept at most.
        keep: Option<u64>,
        /// Whether it may keep a few more, where that is quicker for the server.
        about: bool,
    },
}

impl Verb {
    fn frame(self, topic: &[u8]) -> PublishFrame {
        match self {
            Self::Publish => PublishFrame::new(topic),
            Self::Add { keep, about } => PublishFrame::adding(topic, keep, about),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "PUBLISH",
            Self::Add { .. } => "XADD",
        }
    }

    /// The answers that say yes which `bytes` begins with: how many, and how long they are.
    #[inline]
    fn yes_run(self, bytes: &[u8]) -> (usize, usize) {
        match self {
            Self::Publish => {
                let run = integer_run(bytes);
                (run.count, run.length)
            }
            Self::Add { .. } => bulk_run(bytes),
        }
    }

    fn is_yes(self, reply: Reply<'_>) -> bool {
        matches!((self, reply), (Self::Publish, Reply::Integer(_)) | (Self::Add { .. }, Reply::Bulk(_)))
    }
}

/// A publishing connection over a plain socket.
#[derive(Debug)]
pub struct WirePublisher {
    socket: Socket,
    topology: Topology,
    verb: Verb,
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
    pub(in crate::driver) fn new(mut socket: Socket, topology: &Topology, verb: Verb) -> Self {
        if topology.closed_loop {
            socket.look_now_and_then();
        }
        Self {
            socket,
            verb,
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
        check_length(self.socket.driver(), payload)?;
        let more = self.topology.prefix.len() + FRAME_BYTES + payload.len();
        if !self.output.has_room(more) {
            return Ok(Enqueued::Full);
        }
        let frame = match self.frames.get_mut(topic.0 as usize) {
            Some(Some(frame)) => frame,
            Some(slot) => slot.insert(self.verb.frame(self.topology.topic_name(topic).as_bytes())),
            None => return Err(fatal(self.socket.driver(), format!("there is no topic {}", topic.0))),
        };
        frame.append(self.output.frames(), payload);
        self.answers.enqueued += 1;
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        let Self { socket, output, answers, verb, .. } = self;
        let take = |socket: &mut Socket, _: &mut Vec<u8>| answers.take(*verb, socket, each).map(drop);
        let mut take = take;
        poll_fn(|cx| output.poll_flush(cx, socket, &mut take)).await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            loop {
                ready!(self.socket.poll_read(cx))?;
                if self.answers.take(self.verb, &mut self.socket, each)? {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }
}

impl Answers {
    /// Hands over all whole replies; whether there were any.
    fn take(
        &mut self,
        verb: Verb,
        socket: &mut Socket,
        each: &mut impl FnMut(AckRun),
    ) -> Result<bool, DriverError> {
        let (driver, before) = (socket.driver(), self.answered);
        loop {
            let (count, length) = verb.yes_run(socket.unread());
            socket.consume(length);
            self.hand_over(driver, (count, Outcome::Accepted), each)?;
            if socket.unread().is_empty() {
                break;
            }
            let (outcome, length) = match scan(socket.unread()).map_err(|error| broken(driver, error))? {
                None => break,
                Some((Reply::Error(text), length)) => {
                    self.tell(driver, verb, text);
                    (Outcome::Rejected, length)
                }
                Some((reply, length)) if verb.is_yes(reply) => (Outcome::Accepted, length),
                Some(_) => {
                    let what = format!("the server answers {} with something unheard of", verb.name());
                    return Err(fatal(driver, what));
                }
            };
            socket.consume(length);
            self.hand_over(driver, (1, outcome), each)?;
        }
        Ok(self.answered > before)
    }

    fn hand_over(
        &mut self,
        driver: &'static str,
        (count, outcome): (usize, Outcome),
        each: &mut impl FnMut(AckRun),
    ) -> Result<(), DriverError> {
        if count as u64 > self.enqueued - self.answered {
            return Err(fatal(driver, "the server answers more messages than it was sent"));
        }
        if count > 0 {
            each(AckRun { first: self.answered, count: count as u32, outcome });
            self.answered += count as u64;
        }
        Ok(())
    }

    /// The first refusal of a connection goes to the log with its words; all are counted.
    fn tell(&mut self, driver: &'static str, verb: Verb, text: &[u8]) {
        if !self.told {
            self.told = true;
            tracing::warn!("{driver}: {} was refused: {}", verb.name(), String::from_utf8_lossy(text));
        }
    }
}
