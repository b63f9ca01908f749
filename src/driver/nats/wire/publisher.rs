//! The publishing side of core and JetStream: frames in one output buffer; answers, where there are any, come
//! to an inbox of our own and are told apart by numbers that follow on from each other.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::super::ack;
use super::super::subjects::Subjects;
use super::link::{Link, Talk};
use crate::driver::socket::Socket;
use crate::driver::{self, AckRun, DriverError, Enqueued, Outcome};
use crate::scenario::TopicId;
use crate::wire::nats::{AnswerRuns, Headers, Message, PublishFrame, Serial, append_subscribe};

/// Our name for the subscription to the inbox.
const SID: &[u8] = b"1";

/// A publishing connection over a plain socket.
#[derive(Debug)]
pub struct Publisher {
    link: Link,
    subjects: Subjects,
    /// By topic; built at the first message there.
    frames: Vec<Option<PublishFrame>>,
    answers: Option<Answers>,
}

/// The answers' side of a connection.
#[derive(Debug)]
struct Answers {
    /// Where answers go, with a dot at the end.
    inbox: Vec<u8>,
    /// Each message carries its reply subject as its id, too.
    ids: bool,
    /// Number of the next message to be enqueued.
    next: Serial,
    enqueued: u64,
    expected: AnswerRuns,
    /// Number of the answer expected next.
    answered: u64,
    /// A refusal was put into the log already.
    told: bool,
}

impl Publisher {
    /// A connection that nobody answers.
    pub(super) fn unanswered(link: Link, subjects: Subjects) -> Self {
        let frames = vec![None; subjects.len()];
        Self { link, subjects, frames, answers: None }
    }

    /// A connection whose messages are answered to its inbox.
    pub(super) async fn answered(mut link: Link, subjects: Subjects, ids: bool) -> Result<Self, DriverError> {
        let inbox = format!("{}.", link.inbox).into_bytes();
        let mut subscribe = Vec::new();
        append_subscribe(&mut subscribe, &[inbox.as_slice(), b"*"].concat(), b"", SID);
        link.settle(subscribe).await?;
        let answers = Answers {
            ids,
            next: Serial::default(),
            enqueued: 0,
            expected: AnswerRuns::new(&inbox, SID),
            answered: 0,
            told: false,
            inbox,
        };
        Ok(Self { answers: Some(answers), ..Self::unanswered(link, subjects) })
    }

    /// The frame of a topic.
    #[cold]
    fn build(&self, topic: TopicId) -> Result<PublishFrame, DriverError> {
        if topic.0 as usize >= self.frames.len() {
            return Err(self.link.talk.fatal(format!("there is no topic {}", topic.0)));
        }
        let subject = self.subjects.name(topic);
        Ok(match &self.answers {
            None => PublishFrame::new(subject.as_bytes()),
            Some(answers) if answers.ids => PublishFrame::with_id(subject.as_bytes(), &answers.inbox),
            Some(answers) => PublishFrame::with_reply(subject.as_bytes(), &answers.inbox),
        })
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(AckRun),
    ) -> Poll<Result<(), DriverError>> {
        let Self { link: Link { socket, output, talk, .. }, answers, .. } = self;
        let flushed = output.poll_flush(cx, socket, |socket, pongs| {
            take(answers.as_mut(), (socket, talk), pongs, each).map(drop)
        });
        flushed.map_err(|error| talk.why(error))
    }
}

impl driver::Publisher for Publisher {
    #[inline]
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        self.link.talk.check()?;
        self.link.talk.check_length(payload.len())?;
        if !matches!(self.frames.get(topic.0 as usize), Some(Some(_))) {
            let frame = self.build(topic)?;
            self.frames[topic.0 as usize] = Some(frame);
        }
        let Some(Some(frame)) = self.frames.get_mut(topic.0 as usize) else { return Ok(Enqueued::Full) };
        if !self.link.output.has_room(frame.overhead() + payload.len()) {
            return Ok(Enqueued::Full);
        }
        let out = self.link.output.frames();
        match &mut self.answers {
            None => frame.append(out, payload),
            Some(answers) => {
                frame.append_numbered(out, &answers.next, payload);
                answers.next.step();
                answers.enqueued += 1;
            }
        }
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| self.poll_flush(cx, each)).await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            loop {
                ready!(self.link.poll_read(cx))?;
                let Self { link, answers, .. } = self;
                let Link { socket, output, talk, .. } = link;
                let before = output.waiting();
                let some = take(answers.as_mut(), (socket, talk), output.frames(), each)?;
                if output.waiting() > before {
                    link.owe(|_| ());
                }
                if some {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }
}

/// Hands over all whole answers that were read; whether there were any.
fn take(
    mut answers: Option<&mut Answers>,
    (socket, talk): (&mut Socket, &mut Talk),
    output: &mut Vec<u8>,
    each: &mut impl FnMut(AckRun),
) -> Result<bool, DriverError> {
    let mut some = false;
    loop {
        if let Some(answers) = answers.as_deref_mut() {
            let (count, length) = answers.expected.run(socket.unread());
            socket.consume(length);
            some |= count > 0;
            answers.hand_over(count, Outcome::Accepted, talk, each)?;
        }
        let Some((message, length)) = talk.next(socket.unread(), output)? else { return Ok(some) };
        if let (Some(message), Some(answers)) = (message, answers.as_deref_mut())
            && let Some((number, outcome)) = answers.read(&message)
        {
            answers.answered = number;
            answers.hand_over(1, outcome, talk, each)?;
            answers.expected.expect(answers.answered);
            some = true;
        }
        socket.consume(length);
    }
}

impl Answers {
    /// Which message this answers, and how. Whatever else comes to the inbox is none of ours.
    fn read(&mut self, message: &Message<'_>) -> Option<(u64, Outcome)> {
        let number = Serial::parse(message.subject.strip_prefix(self.inbox.as_slice())?)?;
        let status = Headers(message.headers()).status().map(|(code, _)| code);
        let outcome = ack::outcome(status, message.payload());
        if outcome == Outcome::Rejected && !std::mem::replace(&mut self.told, true) {
            let words = status
                .map_or_else(|| String::from_utf8_lossy(message.payload()), |code| code.to_string().into());
            tracing::warn!("jetstream: a message was refused: {words}");
        }
        Some((number, outcome))
    }

    /// Says what became of the `count` messages from `answered` on.
    fn hand_over(
        &mut self,
        count: u32,
        outcome: Outcome,
        talk: &Talk,
        each: &mut impl FnMut(AckRun),
    ) -> Result<(), DriverError> {
        if self.answered + u64::from(count) > self.enqueued {
            return Err(talk.fatal("the server answers more messages than it was sent"));
        }
        if count > 0 {
            each(AckRun { first: self.answered, count, outcome });
            self.answered += u64::from(count);
        }
        Ok(())
    }
}
