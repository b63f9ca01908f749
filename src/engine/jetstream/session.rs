//! What a client's operations do.

use super::client::Ways;
use super::server::Server;
use super::streams::{Caller, SubjectChange};
use super::sublist::{ClientKey, Member};
use crate::clock::Nanos;
use crate::wire::nats::subject::{is_valid_literal, is_valid_pattern};
use crate::wire::nats::{
    ClientError, ClientLimits, ClientOp, ConnectOptions, Parsed, Publish, append_error, parse_client,
};

/// Nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// The highest protocol a client may claim.
const MAX_PROTOCOL: i32 = 1;

impl Server {
    /// Carries out all whole operations that `buf` begins with; gives how many bytes they took, and how many
    /// the next one takes at least.
    pub(super) fn carry_out(&mut self, key: ClientKey, buf: &[u8]) -> (usize, usize) {
        let limits = ClientLimits {
            max_control_line: self.settings.max_control_line,
            max_payload: self.settings.max_payload,
        };
        let mut at = 0;
        while !self.hub.client(key).is_leaving() {
            match parse_client(&buf[at..], limits) {
                Ok(Parsed::Whole(op, length)) => {
                    at += length;
                    self.operation(key, op);
                }
                Ok(Parsed::Partial(needed)) => {
                    self.hub.end_run();
                    return (at, needed);
                }
                Err(error) => {
                    self.hub.end_run();
                    self.broken(key, error);
                }
            }
        }
        self.hub.end_run();
        (buf.len(), 0)
    }

    #[inline]
    fn operation(&mut self, key: ClientKey, op: ClientOp<'_>) {
        if let ClientOp::Publish(message) = op
            && self.hub.client(key).authorised
        {
            return self.publish(key, &message);
        }
        self.hub.end_run();
        if !self.hub.client(key).authorised && !matches!(op, ClientOp::Connect(_)) {
            return self.refuse(key, "Authorization Violation");
        }
        match op {
            ClientOp::Connect(json) => self.connect(key, json),
            ClientOp::Subscribe { subject, queue, sid } => self.subscribe(key, subject, (queue, sid)),
            ClientOp::Unsubscribe { sid, max } => {
                self.confirm(key);
                if let Some(gone) = self.hub.unsubscribe(key, sid, max) {
                    let account = self.hub.client(key).account;
                    self.interest_changed(account, &gone);
                }
            }
            ClientOp::Ping => self.hub.push(key, |out| out.extend_from_slice(b"PONG\r\n")),
            ClientOp::Pong => self.hub.client(key).pings_out = 0,
            ClientOp::Error => self.hub.doom(key),
            ClientOp::Publish(_) | ClientOp::Ignored => {}
        }
    }

    /// Says why, then closes.
    pub(super) fn refuse(&mut self, key: ClientKey, why: &str) {
        self.hub.push(key, |out| append_error(out, why));
        self.hub.close_after_output(key);
    }

    fn broken(&mut self, key: ClientKey, error: ClientError) {
        match error {
            ClientError::Arguments => self.hub.close_after_output(key),
            error => self.refuse(key, &error.to_string()),
        }
    }

    #[inline]
    fn confirm(&mut self, key: ClientKey) {
        if self.hub.client(key).ways.verbose {
            self.hub.push(key, |out| out.extend_from_slice(b"+OK\r\n"));
        }
    }

    fn connect(&mut self, key: ClientKey, json: &[u8]) {
        let Ok(options) = ConnectOptions::parse(json) else {
            return self.hub.close_after_output(key);
        };
        if !(0..=MAX_PROTOCOL).contains(&options.protocol) {
            return self.refuse(key, "invalid client protocol");
        }
        let (client, credentials) = (self.hub.client(key), &self.settings.credentials);
        let nonce = &client.identity.nonce;
        let admission = match &credentials.operator {
            Some(operator) => {
                let kind = if client.stream.is_websocket() { "WEBSOCKET" } else { "STANDARD" };
                operator.admit(&options, nonce, (kind, self.times.unix / SECOND))
            }
            None => credentials.admit(&options, nonce),
        };
        let Some(admission) = admission else { return self.refuse(key, "Authorization Violation") };
        client.ways = Ways::from(&options);
        client.authorised = true;
        client.expires = admission.expires;
        client.identity.user = admission.user;
        client.identity.name = options.name;
        client.identity.lang = options.lang;
        client.identity.version = options.version;
        if client.account != admission.account {
            // Said once more as somebody else: what it subscribed to stays where it was.
            self.drop_subscriptions(key);
        }
        let client = self.hub.client(key);
        client.account = admission.account;
        client.permissions = admission.permissions;
        self.confirm(key);
    }

    fn subscribe(&mut self, key: ClientKey, subject: &[u8], (queue, sid): (&[u8], &[u8])) {
        if !is_valid_pattern(subject) {
            return self.hub.push(key, |out| append_error(out, "Invalid Subject"));
        }
        let client = self.hub.client(key);
        if let Some(permissions) = &client.permissions {
            if !permissions.may_subscribe(subject, queue) {
                return self.forbid(key, "Subscription to", (subject, queue));
            }
            client.narrowed |= permissions.narrows(subject);
        }
        let most = self.settings.max_subscriptions;
        if most > 0 && self.hub.client(key).subscriptions.len() >= most {
            return self.refuse(key, "maximum subscriptions exceeded");
        }
        self.hub.subscribe(key, subject, queue, sid);
        self.confirm(key);
        let account = self.hub.client(key).account;
        self.interest_changed(account, subject);
    }

    /// Says what a user may not do; the connection stays.
    fn forbid(&mut self, key: ClientKey, what: &str, (subject, queue): (&[u8], &[u8])) {
        let shown = |text: &[u8]| format!("{:?}", String::from_utf8_lossy(text));
        let group = if queue.is_empty() { String::new() } else { format!(" using queue {}", shown(queue)) };
        let why = format!("Permissions Violation for {what} {}{group}", shown(subject));
        self.hub.push(key, |out| append_error(out, &why));
    }

    /// Whether a client may publish this, by its permissions or as an answer.
    fn may_publish(&mut self, key: ClientKey, subject: &[u8]) -> bool {
        let now = self.hub.now;
        let client = self.hub.client(key);
        let Some(permissions) = &client.permissions else { return true };
        if permissions.may_publish(subject) {
            return true;
        }
        let Some(may) = permissions.responses else { return false };
        let Some(question) = client.questions.get_mut(subject) else { return false };
        question.answers += 1;
        let late = may
            .within
            .is_some_and(|within| now.saturating_sub(question.asked_at) > within.as_nanos() as Nanos);
        let allowed = !late && may.most.is_none_or(|most| question.answers <= most);
        if !allowed {
            client.questions.remove(subject);
        }
        allowed
    }

    #[inline]
    fn publish(&mut self, key: ClientKey, message: &Publish<'_>) {
        self.hub.stats.in_messages += 1;
        self.hub.stats.in_bytes += message.body.len() as u64;
        let client = self.hub.client(key);
        client.traffic.in_messages += 1;
        client.traffic.in_bytes += message.body.len() as u64;
        let (ways, account) = (client.ways, client.account);
        if client.permissions.is_some() && !self.may_publish(key, message.subject) {
            self.hub.end_run();
            return self.forbid(key, "Publish to", (message.subject, b""));
        }
        if ways.verbose || ways.pedantic || message.header_length > 0 {
            if message.header_length > 0 && !ways.headers {
                return self.refuse(key, "message headers not supported");
            }
            // The message goes its way all the same.
            if ways.pedantic && !is_valid_literal(message.subject) {
                self.hub.push(key, |out| append_error(out, "Invalid Publish Subject"));
            }
            self.confirm(key);
        }
        let route = self.hub.route(account, message.subject);
        let mut delivered =
            !(route.plain.is_empty() && route.queues.is_empty()) && self.hub.publish(key, &route, message);
        for &member in &route.inner {
            self.hub.end_run();
            delivered |= self.inner((key, account, member), message);
        }
        if !delivered && !message.reply.is_empty() && ways.no_responders && ways.headers {
            self.hub.no_responders(key, message.reply);
        }
    }

    /// Gives a message to a stream or a service; whether it was taken.
    fn inner(&mut self, (from, account, member): (ClientKey, u32, Member), message: &Publish<'_>) -> bool {
        let times = self.times;
        let Some(streams) = &mut self.streams else { return false };
        let taken = match member {
            Member::Stream(key) => {
                streams.store(key, message, times);
                true
            }
            Member::Api => {
                let listened = self.hub.hears_events(account);
                *streams.listened(account) = listened;
                let hub = &self.hub;
                let client = listened
                    .then(|| hub.describe((from, self.info.name()), &self.settings.accounts))
                    .flatten();
                let interest = |account: u32, subject: &[u8]| hub.interest((account, subject), usize::MAX);
                streams.request(account, message, &Caller { times, interest: &interest, client })
            }
            Member::Client { .. } => false,
        };
        self.apply_subject_changes();
        taken
    }

    /// Lets subjects of streams come and go.
    pub(super) fn apply_subject_changes(&mut self) {
        let Some(streams) = &mut self.streams else { return };
        for change in streams.changes.drain(..) {
            match change {
                SubjectChange::Add((account, pattern), member) => {
                    self.hub.subjects[account as usize].insert(&pattern, b"", member);
                }
                SubjectChange::Remove((account, pattern), member) => {
                    self.hub.subjects[account as usize].remove(&pattern, b"", member);
                }
            }
        }
    }

    /// Somebody in an account subscribes to `pattern`, or does so no more.
    pub(super) fn interest_changed(&mut self, account: u32, pattern: &[u8]) {
        if let Some(streams) = &mut self.streams {
            streams.interest_changed(account, pattern);
        }
    }
}
