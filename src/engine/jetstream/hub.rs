//! Clients, their subscriptions, and the way of a message from one to the others.

use super::access::Account;
use super::client::{Client, Question, Subscription};
use super::output::{SHARE_FROM, Spare};
use super::run::Run;
use super::streams::{Interest, stamp};
use super::sublist::{ClientKey, Lookups, Member, Route, Sublist};
use crate::clock::Nanos;
use crate::prng::Prng;
use crate::wire::nats::{MessageHead, Publish, append_message, status_line};
use slab::Slab;
use std::rc::Rc;

/// A backlog of this many bytes is written before the tick ends.
const HOT_FROM: usize = 256 * 1024;

/// Questions that a client may answer, before those are forgotten that were answered or are too old.
const QUESTIONS: usize = 4096;

/// What has gone through.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stats {
    pub(super) in_messages: u64,
    pub(super) in_bytes: u64,
    pub(super) out_messages: u64,
    pub(super) out_bytes: u64,
    pub(super) slow_consumers: u64,
    pub(super) total_connections: u64,
}

/// The route of the subject that was last published to.
#[derive(Debug, Default)]
struct LastRoute {
    account: u32,
    subject: Vec<u8>,
    generation: u64,
    route: Rc<Route>,
}

/// Clients and subscriptions.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) clients: Slab<Client>,
    /// By account.
    pub(super) subjects: Vec<Sublist>,
    /// The clock, as read at the start of the tick.
    pub(super) now: Nanos,
    pub(super) stats: Stats,
    pub(super) spare: Spare,
    /// To be written to.
    pub(super) dirty: Vec<ClientKey>,
    /// Whose backlog has grown large in this tick.
    pub(super) hot: Vec<ClientKey>,
    /// To be closed.
    pub(super) doomed: Vec<ClientKey>,
    last: LastRoute,
    run: Run,
    prng: Prng,
    /// Subscriptions that had their last message.
    ended: Vec<(ClientKey, u32)>,
    /// The route of the subject that the server itself last sent to.
    inbox: Inbox,
    /// By account: whether anybody may listen to what happens to streams, and when that was looked up.
    events: Vec<(u64, bool)>,
}

/// Whom the server last sent something to. Generation 0 never holds: the API's subjects come first.
#[derive(Debug, Default)]
struct Inbox {
    account: u32,
    subject: Vec<u8>,
    generation: u64,
    route: Route,
}

/// A message of the server's own, to be stored.
#[derive(Debug)]
pub(super) struct Own {
    subject: Vec<u8>,
    header_length: usize,
    body: Vec<u8>,
}

impl Own {
    fn new(subject: &[u8], message: &Publish<'_>) -> Self {
        Self { subject: subject.to_vec(), header_length: message.header_length, body: message.body.to_vec() }
    }

    pub(super) fn as_publish(&self) -> Publish<'_> {
        Publish { subject: &self.subject, reply: b"", header_length: self.header_length, body: &self.body }
    }
}

impl Hub {
    /// Nobody yet, in so many accounts.
    pub(super) fn new(seed: u64, accounts: usize) -> Self {
        Self {
            clients: Slab::new(),
            subjects: (0..accounts).map(|_| Sublist::default()).collect(),
            now: 0,
            stats: Stats::default(),
            spare: Spare::default(),
            dirty: Vec::new(),
            hot: Vec::new(),
            doomed: Vec::new(),
            last: LastRoute { generation: u64::MAX, ..LastRoute::default() },
            run: Run::default(),
            prng: Prng::new(seed),
            ended: Vec::new(),
            inbox: Inbox::default(),
            events: vec![(u64::MAX, false); accounts],
        }
    }

    /// Whether anybody in an account may listen to what happens to streams.
    #[inline]
    pub(super) fn hears_events(&mut self, account: u32) -> bool {
        let subjects = &self.subjects[account as usize];
        let known = &mut self.events[account as usize];
        if known.0 != subjects.generation() {
            *known = (subjects.generation(), subjects.hears_below(b"$JS.EVENT"));
        }
        known.1
    }

    /// What is told of a client whose request was answered.
    pub(super) fn describe(
        &self,
        (key, server): (ClientKey, &str),
        accounts: &[Account],
    ) -> Option<serde_json::Value> {
        let client = self.clients.get(key as usize)?;
        let own = &client.identity;
        let mut told = serde_json::json!({
            "start": stamp(own.since), "host": own.address.ip().to_string(), "id": own.id,
            "acc": accounts.get(client.account as usize)?.name,
        });
        let named = [("user", &own.user), ("name", &own.name), ("lang", &own.lang), ("ver", &own.version)];
        for (name, text) in named.into_iter().filter(|(_, text)| !text.is_empty()) {
            told[name] = text.as_str().into();
        }
        for (name, text) in [("server", server), ("kind", "Client"), ("client_type", "nats")] {
            told[name] = text.into();
        }
        Some(told)
    }

    /// A client that is known to be there.
    #[inline]
    pub(super) fn client(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key as usize]
    }

    /// Writes to a client's output.
    #[inline]
    pub(super) fn push(&mut self, key: ClientKey, write: impl FnOnce(&mut Vec<u8>)) {
        let client = &mut self.clients[key as usize];
        if !client.doomed {
            client.output.append(&mut self.spare, write);
            self.touch(key);
        }
    }

    #[inline]
    fn touch(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(key);
        }
        if !client.hot && client.output.pending() >= HOT_FROM {
            client.hot = true;
            self.hot.push(key);
        }
    }

    /// Closes a client at the end of the tick.
    pub(super) fn doom(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        if !client.doomed {
            client.doomed = true;
            self.doomed.push(key);
        }
    }

    /// Closes a client once what waits for it is written.
    pub(super) fn close_after_output(&mut self, key: ClientKey) {
        self.client(key).closing = true;
        self.touch(key);
    }

    /// Subscribes; a sid that is taken already is ignored.
    pub(super) fn subscribe(&mut self, key: ClientKey, pattern: &[u8], queue: &[u8], sid: &[u8]) {
        let client = &mut self.clients[key as usize];
        if client.by_sid.contains_key(sid) {
            return;
        }
        let slot = client.subscriptions.insert(Subscription {
            sid: sid.into(),
            subject: pattern.into(),
            queue: queue.into(),
            delivered: 0,
            max: 0,
        }) as u32;
        client.by_sid.insert(sid.into(), slot);
        let account = client.account as usize;
        self.subjects[account].insert(pattern, queue, Member::Client { client: key, slot });
    }

    /// Unsubscribes, at once (`max` 0) or after `max` messages in all. Gives the pattern that is gone.
    pub(super) fn unsubscribe(&mut self, key: ClientKey, sid: &[u8], max: u64) -> Option<Box<[u8]>> {
        let client = &mut self.clients[key as usize];
        let slot = *client.by_sid.get(sid)?;
        let subscription = &mut client.subscriptions[slot as usize];
        if max > subscription.delivered {
            subscription.max = max;
            // A run in progress does not count; the next message looks again.
            self.last.generation = u64::MAX;
            self.run.forget();
            return None;
        }
        self.drop_subscription(key, slot)
    }

    /// Takes a subscription away.
    pub(super) fn drop_subscription(&mut self, key: ClientKey, slot: u32) -> Option<Box<[u8]>> {
        let client = &mut self.clients[key as usize];
        let gone = client.subscriptions.try_remove(slot as usize)?;
        client.by_sid.remove(&gone.sid);
        let account = client.account as usize;
        self.subjects[account].remove(&gone.subject, &gone.queue, Member::Client { client: key, slot });
        Some(gone.subject)
    }

    /// Who receives a subject.
    #[inline]
    pub(super) fn route(&mut self, account: u32, subject: &[u8]) -> Rc<Route> {
        let subjects = &mut self.subjects[account as usize];
        let generation = subjects.generation();
        let last = &self.last;
        if last.generation != generation || last.account != account || last.subject != subject {
            self.last.route = subjects.route(subject);
            self.last.generation = generation;
            self.last.account = account;
            self.last.subject.clear();
            self.last.subject.extend_from_slice(subject);
        }
        self.last.route.clone()
    }

    /// Delivers what a client published to other clients; whether anybody got it.
    #[inline]
    pub(super) fn publish(&mut self, from: ClientKey, route: &Rc<Route>, message: &Publish<'_>) -> bool {
        if route.plain.len() < 2 || !route.queues.is_empty() {
            self.end_run();
            return self.deliver(Some(from), route, message);
        }
        let account = self.clients[from as usize].account;
        let generation = self.subjects[account as usize].generation();
        if !self.run.is_of(from, message, generation) {
            self.end_run();
            if !self.run.start(&self.clients, from, (route, message, generation)) {
                return self.deliver(Some(from), route, message);
            }
        }
        self.run.append(message)
    }

    /// Hands what was gathered for many receivers to them.
    #[inline]
    pub(super) fn end_run(&mut self) {
        if self.run.count > 0 {
            self.deliver_run();
        }
    }

    fn deliver_run(&mut self) {
        let mut run = std::mem::take(&mut self.run);
        for group in &mut run.groups {
            let shared = group.members.len() > 1 && group.block.len() >= SHARE_FROM;
            let block = Rc::new(std::mem::take(&mut group.block));
            for &(key, slot) in &group.members {
                let Some(client) = self.clients.get_mut(key as usize) else { continue };
                let Some(subscription) = client.subscriptions.get_mut(slot as usize) else { continue };
                if client.closing || client.doomed {
                    continue;
                }
                subscription.delivered += run.count;
                self.stats.out_messages += run.count;
                self.stats.out_bytes += run.bytes;
                client.traffic.out_messages += run.count;
                client.traffic.out_bytes += run.bytes;
                if shared {
                    client.output.share(&block);
                } else {
                    client.output.append(&mut self.spare, |out| out.extend_from_slice(&block));
                }
                self.touch(key);
            }
            if let Ok(mut block) = Rc::try_unwrap(block) {
                block.clear();
                group.block = block;
            }
        }
        run.count = 0;
        run.bytes = 0;
        self.run = run;
    }

    /// Delivers one message along a route; whether anybody got it.
    pub(super) fn deliver(&mut self, from: Option<ClientKey>, route: &Route, message: &Publish<'_>) -> bool {
        let mut delivered = false;
        for &member in &route.plain {
            delivered |= self.send(member, from, message);
        }
        for (_, members) in &route.queues {
            let first = self.prng.below(members.len() as u64) as usize;
            // Whoever can't take it is passed over: the next in the group gets it.
            let mut order = members[first..].iter().chain(&members[..first]);
            delivered |= order.any(|&member| self.send(member, from, message));
        }
        if !self.ended.is_empty() {
            for (key, slot) in std::mem::take(&mut self.ended) {
                self.drop_subscription(key, slot);
            }
        }
        delivered
    }

    /// Delivers a message of the server's own to `to` in an account, under the message's own subject. What streams
    /// are to store of it is noted in `stored`.
    pub(super) fn deliver_to(
        &mut self,
        (account, to): (u32, &[u8]),
        message: &Publish<'_>,
        stored: &mut Vec<(u32, Own)>,
    ) {
        let subjects = &self.subjects[account as usize];
        let generation = subjects.generation();
        let mut inbox = std::mem::take(&mut self.inbox);
        if inbox.generation != generation || inbox.account != account || inbox.subject != to {
            subjects.collect(to, &mut inbox.route);
            inbox.generation = generation;
            inbox.account = account;
            inbox.subject.clear();
            inbox.subject.extend_from_slice(to);
        }
        self.deliver(None, &inbox.route, message);
        for &member in &inbox.route.inner {
            if let Member::Stream(key) = member {
                stored.push((key, Own::new(to, message)));
            }
        }
        self.inbox = inbox;
    }

    /// Whether somebody in an account listens to a subject, and has not more than `high` bytes to read already.
    pub(super) fn interest(&self, (account, subject): (u32, &[u8]), high: usize) -> Interest {
        let mut route = Route::default();
        self.subjects[account as usize].collect(subject, &mut route);
        let members = route.plain.iter().chain(route.queues.iter().flat_map(|(_, members)| members));
        let mut found = if route.inner.is_empty() { Interest::Nobody } else { Interest::Ready };
        for member in members {
            let Member::Client { client, .. } = *member else { continue };
            let busy = self.clients.get(client as usize).is_some_and(|client| client.output.pending() > high);
            if busy {
                return Interest::Busy;
            }
            found = Interest::Ready;
        }
        found
    }

    #[inline]
    fn send(&mut self, member: Member, from: Option<ClientKey>, message: &Publish<'_>) -> bool {
        let Member::Client { client: key, slot } = member else { return false };
        let Some(client) = self.clients.get_mut(key as usize) else { return false };
        if client.is_leaving() || (from == Some(key) && !client.ways.echo) {
            return false;
        }
        if client.permissions.is_some() && !notice(client, self.now, message) {
            return false;
        }
        let headers = client.ways.headers;
        let Some(subscription) = client.subscriptions.get_mut(slot as usize) else { return false };
        subscription.delivered += 1;
        if subscription.max > 0 {
            if subscription.delivered > subscription.max {
                return false;
            }
            if subscription.delivered == subscription.max {
                self.ended.push((key, slot));
            }
        }
        // Who does not know headers gets the payload alone.
        let (header_length, body) =
            if headers { (message.header_length, message.body) } else { (0, message.payload()) };
        self.stats.out_messages += 1;
        self.stats.out_bytes += body.len() as u64;
        client.traffic.out_messages += 1;
        client.traffic.out_bytes += body.len() as u64;
        let head = MessageHead {
            subject: message.subject,
            sid: &subscription.sid,
            reply: message.reply,
            header_length,
        };
        client.output.append(&mut self.spare, |out| append_message(out, head, body));
        self.touch(key);
        true
    }

    /// What the monitoring shows of all subscriptions together.
    pub(super) fn subscription_stats(&self) -> serde_json::Value {
        let all = || self.subjects.iter();
        let sum = |of: fn(&Lookups) -> u64| all().map(|subjects| of(&subjects.stats)).sum::<u64>();
        let lookups = sum(|stats| stats.lookups);
        let fan_outs: Vec<usize> = all().flat_map(Sublist::fan_outs).collect();
        let total: usize = fan_outs.iter().sum();
        serde_json::json!({
            "num_subscriptions": all().map(Sublist::len).sum::<usize>(), "num_cache": fan_outs.len(),
            "num_inserts": sum(|stats| stats.inserts), "num_removes": sum(|stats| stats.removes),
            "num_matches": lookups, "cache_hit_rate": sum(|stats| stats.hits) as f64 / lookups.max(1) as f64,
            "max_fanout": fan_outs.iter().max().copied().unwrap_or(0),
            "avg_fanout": total as f64 / fan_outs.len().max(1) as f64,
        })
    }

    /// Tells a client that nobody listens to what it asked.
    pub(super) fn no_responders(&mut self, from: ClientKey, reply: &[u8]) {
        let mut route = Route::default();
        let account = self.clients[from as usize].account;
        self.subjects[account as usize].collect(reply, &mut route);
        let own = |member: &Member| matches!(member, Member::Client { client, .. } if *client == from);
        let groups = route.queues.iter().flat_map(|(_, members)| members);
        let Some(&member) = route.plain.iter().chain(groups).find(|member| own(member)) else { return };
        let mut body = Vec::with_capacity(16);
        status_line(&mut body, 503, "");
        body.extend_from_slice(b"\r\n");
        let message = Publish { subject: reply, reply: b"", header_length: body.len(), body: &body };
        let alone = Route { plain: vec![member], ..Route::default() };
        // One's own request is answered even to a client that does not want its own messages back.
        self.deliver(None, &alone, &message);
    }
}

/// Whether a message may be given to a client with permissions; what it may answer is remembered.
fn notice(client: &mut Client, now: Nanos, message: &Publish<'_>) -> bool {
    let Some(permissions) = &client.permissions else { return true };
    if client.narrowed && permissions.withholds(message.subject) {
        return false;
    }
    if let Some(may) = permissions.responses.filter(|_| !message.reply.is_empty()) {
        if client.questions.len() >= QUESTIONS {
            let within = may.within.map_or(Nanos::MAX, |within| within.as_nanos() as Nanos);
            client.questions.retain(|_, question| {
                may.most.is_none_or(|most| question.answers < most)
                    && now.saturating_sub(question.asked_at) <= within
            });
        }
        client.questions.insert(message.reply.into(), Question { asked_at: now, answers: 0 });
    }
    true
}
