//! Receivers ask publishing threads about slow messages: only those know when the pacer came for a message and when
//! its answer was read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::measure::{MessageId, Trace, Trail};

/// Questions that wait for one publishing connection, at most; further ones stay without an answer.
const WAITING_MAX: usize = 1024;

/// Answers that one publishing connection keeps, at most: several times as many as any run keeps slow messages.
const ANSWERS_MAX: usize = 1 << 16;

/// Questions to each publishing connection.
#[derive(Debug)]
pub(super) struct Inquiries {
    boxes: Vec<(AtomicBool, Mutex<Vec<MessageId>>)>,
}

impl Inquiries {
    /// None yet, for so many publishing connections.
    pub(super) fn new(connections: u32) -> Self {
        Self { boxes: (0..connections).map(|_| (AtomicBool::new(false), Mutex::default())).collect() }
    }

    /// Asks `connection` about a message.
    pub(super) fn ask(&self, connection: u32, id: MessageId) {
        let (waiting, questions) = &self.boxes[connection as usize];
        if let Ok(mut questions) = questions.lock()
            && questions.len() < WAITING_MAX
        {
            questions.push(id);
            waiting.store(true, Ordering::Release);
        }
    }

    /// Takes the questions to `connection`; costs one load where there are none.
    fn take(&self, connection: u32) -> Vec<MessageId> {
        let (waiting, questions) = &self.boxes[connection as usize];
        if !waiting.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut questions = questions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        waiting.store(false, Ordering::Release);
        std::mem::take(&mut questions)
    }
}

/// One publishing connection's answers.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Asked, sent, and without an answer of the system yet.
    open: Vec<(MessageId, Trace)>,
    found: Vec<(MessageId, Trace)>,
}

impl Replies {
    /// Answers what `connection` has been asked. `answers`: whether the system will still say something about messages
    /// that have no acknowledgement yet.
    pub(super) fn reply(&mut self, inquiries: &Inquiries, connection: u32, trail: &Trail, answers: bool) {
        let asked = inquiries.take(connection);
        if asked.is_empty() && self.open.is_empty() {
            return;
        }
        let known = asked.into_iter().filter_map(|id| Some((id, trail.of(id)?)));
        self.open.extend(known);
        for (id, trace) in std::mem::take(&mut self.open) {
            match trail.of(id) {
                Some(now) if answers && now.acked.is_none() && self.open.len() < WAITING_MAX => {
                    self.open.push((id, now));
                }
                now => self.keep(id, now.unwrap_or(trace)),
            }
        }
    }

    fn keep(&mut self, id: MessageId, trace: Trace) {
        if self.found.len() < ANSWERS_MAX {
            self.found.push((id, trace));
        }
    }

    /// All answers.
    pub(super) fn into_found(self) -> impl Iterator<Item = (MessageId, Trace)> {
        self.found.into_iter().chain(self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId { lane: 0, sequence: 7 };

    #[test]
    fn a_question_is_answered_once_the_acknowledgement_is_there() {
        let (inquiries, mut trail, mut replies) = (Inquiries::new(2), Trail::new(1), Replies::default());
        trail.sent(ID, 100);
        inquiries.ask(1, ID);
        replies.reply(&inquiries, 0, &trail, true);
        replies.reply(&inquiries, 1, &trail, true);
        assert_eq!((replies.open.len(), replies.found.len()), (1, 0));
        trail.acked(ID, 150);
        replies.reply(&inquiries, 1, &trail, true);
        let found: Vec<_> = replies.into_found().collect();
        assert_eq!(found, [(ID, Trace { woken: 100, acked: Some(150) })]);
    }

    #[test]
    fn without_acknowledgements_the_answer_comes_at_once() {
        let (inquiries, mut trail, mut replies) = (Inquiries::new(1), Trail::new(1), Replies::default());
        trail.sent(ID, 100);
        inquiries.ask(0, ID);
        replies.reply(&inquiries, 0, &trail, false);
        assert_eq!(replies.found, [(ID, Trace { woken: 100, acked: None })]);
    }

    #[test]
    fn a_message_that_is_forgotten_while_its_answer_is_open_keeps_what_was_known() {
        let (inquiries, mut trail, mut replies) = (Inquiries::new(1), Trail::new(1), Replies::default());
        trail.sent(ID, 100);
        inquiries.ask(0, ID);
        replies.reply(&inquiries, 0, &trail, true);
        trail.sent(MessageId { sequence: 7 + (1 << 16), ..ID }, 200);
        replies.reply(&inquiries, 0, &trail, true);
        assert_eq!(replies.found, [(ID, Trace { woken: 100, acked: None })]);
    }

    #[test]
    fn a_connection_that_never_answers_makes_no_queue_grow_for_ever() {
        let inquiries = Inquiries::new(1);
        (0..10_000).for_each(|sequence| inquiries.ask(0, MessageId { lane: 0, sequence }));
        assert_eq!(inquiries.take(0).len(), WAITING_MAX);
    }
}
