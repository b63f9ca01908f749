//! Messages that one client publishes to one subject in a row, encoded once for all receivers whose frames
//! are alike: those that chose the same sid.

use super::client::Client;
use super::sublist::{ClientKey, Member, Route};
use crate::wire::nats::{MessageHead, Publish, append_message};
use slab::Slab;

/// Receivers whose frames are alike.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) sid: Box<[u8]>,
    pub(super) members: Vec<(ClientKey, u32)>,
    pub(super) block: Vec<u8>,
}

/// The run in progress. Its groups stay when it has been handed over, for the next run of the same subject.
#[derive(Debug, Default)]
pub(super) struct Run {
    from: ClientKey,
    subject: Vec<u8>,
    /// The subscriptions' generation for which the groups hold; 0 is none.
    generation: u64,
    pub(super) groups: Vec<Group>,
    /// Whether all receivers understand headers.
    headers: bool,
    pub(super) count: u64,
    /// Bytes of headers and payloads.
    pub(super) bytes: u64,
}

impl Run {
    /// Whether a message would go on with this run.
    #[inline]
    pub(super) fn is_of(&self, from: ClientKey, message: &Publish<'_>, generation: u64) -> bool {
        self.from == from
            && self.generation == generation
            && self.subject == message.subject
            && (self.headers || message.header_length == 0)
    }

    /// Makes the groups out of date.
    pub(super) fn forget(&mut self) {
        self.generation = 0;
    }

    /// Starts a run, unless some receiver needs to be looked at message by message.
    pub(super) fn start(
        &mut self,
        clients: &Slab<Client>,
        from: ClientKey,
        (route, message, generation): (&Route, &Publish<'_>, u64),
    ) -> bool {
        self.generation = 0;
        self.headers = true;
        self.groups.clear();
        let mut alike: Vec<(&[u8], (ClientKey, u32))> = Vec::with_capacity(route.plain.len());
        for &member in &route.plain {
            let Member::Client { client: key, slot } = member else { return false };
            let Some(client) = clients.get(key as usize) else { return false };
            let Some(subscription) = client.subscriptions.get(slot as usize) else { return false };
            self.headers &= client.ways.headers;
            if client.permissions.is_some()
                || subscription.max > 0
                || (message.header_length > 0 && !client.ways.headers)
            {
                return false;
            }
            if key != from || client.ways.echo {
                alike.push((&subscription.sid, (key, slot)));
            }
        }
        alike.sort_unstable();
        for same in alike.chunk_by(|one, other| one.0 == other.0) {
            let members = same.iter().map(|&(_, member)| member).collect();
            self.groups.push(Group { sid: same[0].0.into(), members, block: Vec::new() });
        }
        self.from = from;
        self.generation = generation;
        self.subject.clear();
        self.subject.extend_from_slice(message.subject);
        true
    }

    /// Adds a message; whether anybody will get it.
    #[inline]
    pub(super) fn append(&mut self, message: &Publish<'_>) -> bool {
        for group in &mut self.groups {
            let head = MessageHead {
                subject: message.subject,
                sid: &group.sid,
                reply: message.reply,
                header_length: message.header_length,
            };
            append_message(&mut group.block, head, message.body);
        }
        self.count += 1;
        self.bytes += message.body.len() as u64;
        !self.groups.is_empty()
    }
}
