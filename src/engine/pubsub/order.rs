//! One order of what happens, over all event loops. With a single loop nothing here does anything.
//!
//! Every loop knows all subscriptions, as of the place in the order to which it has walked. Before it executes
//! what a client sent it walks to the end; so whatever was confirmed to anybody before is known. A message that
//! has subscribers on other loops, and a change of subscriptions, is appended at the end: the loop knows there and
//! then who gets it. What concerns its own clients only needs no place.

use super::commands::{Answer, Query};
use super::log::{Draft, Event, Node};
use super::registry::{Kind, TopicId};
use super::state::{Engine, Frames};
use super::together::{Peers, Question};
use std::sync::Arc;
use std::time::Duration;

/// Messages of other loops are written out after this many bytes: they are still in the cache.
const FLUSH_AFTER: usize = super::chunks::CHUNK;
/// A loop that waits for answers looks again after this long, should it have missed a call.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Engine {
    /// Takes note of all that other event loops appended, and answers what they asked. Not in the middle of a
    /// change of subscriptions: an answer may change them.
    #[inline]
    pub(super) fn catch_up(&mut self) {
        let Some(peers) = &self.peers else { return };
        if peers.is_behind() {
            self.walk();
        }
        let Some(peers) = &mut self.peers else { return };
        for question in std::mem::take(&mut peers.questions) {
            let answer = self.answer(&question.query);
            question.answer(answer);
        }
    }

    fn walk(&mut self) {
        let mut since_flush = 0;
        while let Some(node) = self.peers.as_mut().and_then(Peers::step) {
            since_flush += self.take_note(&node);
            self.out.settle_watched(self.now);
            if since_flush >= FLUSH_AFTER {
                self.out.flush_dirty();
                since_flush = 0;
            }
        }
        if let Some(peers) = &self.peers {
            peers.tell_progress();
        }
    }

    /// Does what an event means here; gives the bytes of messages.
    fn take_note(&mut self, node: &Node) -> usize {
        let from = node.from();
        let mut bytes = 0;
        for event in node.events() {
            match event {
                Event::Published { kind, channel, frames } => {
                    bytes += frames.len();
                    let id = self.look_up(*kind, channel);
                    let home = self.out.chunks.adopt(Arc::clone(frames));
                    self.fan_out(*kind, id, &mut Frames::Common(frames), (home, 0));
                    self.out.chunks.release(home);
                }
                Event::Subscribed { kind, names, more } => {
                    let topics = self.registry.topics_mut(*kind);
                    names.iter().for_each(|name| topics.change_elsewhere(name, from, *more));
                }
                Event::Asked(question) => {
                    // Answered later: an answer may append something itself.
                    if let Some(peers) = &mut self.peers {
                        peers.questions.push(Arc::clone(question));
                    }
                }
                Event::Configured(pairs) => self.configure(pairs),
                Event::StatsReset => self.reset_stats(),
                Event::Slept(nanos) => self.asleep_until = self.now + nanos,
            }
        }
        bytes
    }

    /// Finds who gets a message, and gives it its place in the order if others than this loop's clients do.
    pub(super) fn place(&mut self, kind: Kind, channel: &[u8], frames: &[u8]) -> Option<TopicId> {
        let id = self.look_up(kind, channel);
        if self.peers.is_none() || self.registry.loops(kind, id, &self.matching) == 0 {
            return id;
        }
        let frames = Arc::new(frames.to_vec());
        self.append(Event::Published { kind, channel: channel.into(), frames });
        // Others may have subscribed or left before this place.
        let id = self.look_up(kind, channel);
        let loops = self.registry.loops(kind, id, &self.matching);
        if let Some(peers) = &mut self.peers {
            peers.mark(loops);
        }
        id
    }

    /// Tells the other loops of subscriptions that this loop is about to begin or end.
    pub(super) fn announce(&mut self, kind: Kind, names: Vec<Box<[u8]>>, more: bool) {
        if !names.is_empty() {
            self.append(Event::Subscribed { kind, names, more });
        }
    }

    /// Tells all other loops at once.
    pub(super) fn proclaim(&mut self, event: Event) {
        self.append(event);
        if let Some(peers) = &self.peers {
            peers.wake_all();
        }
    }

    fn append(&mut self, event: Event) {
        let Some(peers) = &mut self.peers else { return };
        if let Some(held) = &mut peers.held {
            return held.events.push(event);
        }
        let draft = peers.draft(event);
        self.insist(draft, Peers::append);
    }

    /// Walks on until the draft is taken.
    fn insist(&mut self, draft: Draft, append: impl Fn(&mut Peers, Draft) -> Result<(), Draft>) {
        let mut draft = draft;
        while let Some(peers) = &mut self.peers {
            match append(peers, draft) {
                Ok(()) => return,
                Err(back) => draft = back,
            }
            self.walk();
        }
    }

    /// Lets no other loop's messages come in between what happens until [`Self::let_go`]: a transaction of
    /// about `weight` bytes.
    pub(super) fn hold(&mut self, weight: u64) {
        if let Some(peers) = &self.peers {
            let draft = peers.blank(weight);
            self.insist(draft, Peers::hold);
        }
    }

    /// Ends what [`Self::hold`] began.
    pub(super) fn let_go(&mut self) {
        if let Some(held) = self.peers.as_mut().and_then(|peers| peers.held.take()) {
            held.let_go();
        }
    }

    /// Every loop's part of an answer, this one's first.
    pub(super) fn ask(&mut self, query: Query) -> Vec<Answer> {
        let mut all = vec![self.answer(&query)];
        let Some(others) = self.peers.as_ref().map(Peers::others) else { return all };
        let question = Arc::new(Question::new(query));
        self.proclaim(Event::Asked(Arc::clone(&question)));
        loop {
            self.catch_up();
            if let Some(answers) = question.answers(others) {
                all.extend(answers);
                break;
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        // What they did before they answered is part of it.
        self.catch_up();
        all
    }
}
