//! What a consumer needs to deliver by itself: heartbeats and flow control.

use super::consumer_config::ConsumerConfig;
use crate::clock::Nanos;

/// Bytes that may be under way to a client with flow control, at first and at most.
const WINDOW: (u64, u64) = (2 * 1024 * 1024, 32 * 1024 * 1024);

/// The state of a push consumer.
#[derive(Debug, Default)]
pub(super) struct Push {
    heartbeat: Nanos,
    flow_control: bool,
    next_heartbeat: Nanos,
    /// Bytes under way, as far as the client has not confirmed them.
    under_way: u64,
    /// Bytes under way when the outstanding question was asked.
    asked: u64,
    window: u64,
    questions: u64,
    /// The subject that answers the outstanding question.
    pub(super) question: Option<Box<[u8]>>,
}

impl Push {
    pub(super) fn new(config: &ConsumerConfig) -> Self {
        let mut push = Self { window: WINDOW.0, ..Self::default() };
        push.reconfigure(config);
        push
    }

    pub(super) fn reconfigure(&mut self, config: &ConsumerConfig) {
        self.heartbeat = if config.is_push() { config.idle_heartbeat } else { 0 };
        self.flow_control = config.flow_control;
    }

    /// Whether the client has to confirm before it gets more.
    pub(super) fn is_stalled(&self) -> bool {
        self.flow_control && self.under_way >= self.window
    }

    /// Counts a delivery; gives the number of a question to be asked.
    pub(super) fn sent(&mut self, size: u64, now: Nanos) -> Option<u64> {
        self.next_heartbeat = now + self.heartbeat;
        if !self.flow_control {
            return None;
        }
        self.under_way += size;
        if self.question.is_some() || self.under_way < self.window / 2 {
            return None;
        }
        self.questions += 1;
        self.asked = self.under_way;
        Some(self.questions)
    }

    /// The client has confirmed.
    pub(super) fn confirmed(&mut self, subject: &[u8]) -> bool {
        if self.question.as_deref() != Some(subject) {
            return false;
        }
        self.question = None;
        self.under_way -= self.asked;
        self.window = (self.window * 2).min(WINDOW.1);
        true
    }

    /// Nobody listens any more: nothing is under way.
    pub(super) fn reset(&mut self) {
        self.question = None;
        self.under_way = 0;
        self.window = WINDOW.0;
    }

    /// Whether a heartbeat is due.
    pub(super) fn beats(&mut self, now: Nanos) -> bool {
        if self.heartbeat == 0 || self.next_heartbeat > now {
            return false;
        }
        self.next_heartbeat = now + self.heartbeat;
        true
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        (self.heartbeat > 0).then_some(self.next_heartbeat)
    }
}
