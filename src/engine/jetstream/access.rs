//! Accounts, users, and what each user may do.

use crate::wire::nats::subject::{covers, has_wildcard, is_valid_pattern, matches};
use std::sync::Arc;
use std::time::Duration;

/// The account of everybody who is in no other.
pub(super) const GLOBAL: &str = "$G";

/// What an account's streams may take up; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Bytes of its memory streams together.
    pub max_memory: Option<u64>,
    /// Bytes of its file streams together.
    pub max_file: Option<u64>,
    /// Streams.
    pub max_streams: Option<u64>,
    /// Consumers of one stream.
    pub max_consumers: Option<u64>,
    /// Messages that a consumer may have delivered without an acknowledgement.
    pub max_ack_pending: Option<u64>,
    /// What a memory stream may ask for, in bytes.
    pub memory_max_stream_bytes: Option<u64>,
    /// What a file stream may ask for, in bytes.
    pub file_max_stream_bytes: Option<u64>,
    /// Whether each stream has to say how large it may grow.
    pub max_bytes_required: bool,
}

/// Subjects, streams and users that are apart from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, which is that of a directory, too.
    pub name: String,
    /// Its streams; `None` if it has none.
    pub streams: Option<AccountLimits>,
}

impl Account {
    /// The account that is there without being named.
    #[must_use]
    pub fn global() -> Self {
        Self { name: GLOBAL.to_owned(), streams: Some(AccountLimits::default()) }
    }
}

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, or the public key.
    pub name: String,
    /// How it is shown that it is them.
    pub proof: Proof,
    /// Number of the account.
    pub account: u32,
    /// What they may do; `None` is everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// How a user shows who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By a password.
    Password(String),
    /// By signing what the server asks them to; the name is the public key.
    Signature,
}

/// A subject, with the queue group it is about if it is about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// With wildcards.
    pub subject: String,
    /// With wildcards.
    pub queue: Option<String>,
}

impl Rule {
    /// Reads a subject, with a queue group behind it or without; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (subject, queue) = (words.next().unwrap_or_default(), words.next().map(str::to_owned));
        let whole = words.next().is_none() && is_valid_pattern(subject.as_bytes());
        whole.then(|| Self { subject: subject.to_owned(), queue })
    }
}

/// What is allowed and what is not; what is denied is so even if it is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `None` is everything.
    pub allow: Option<Vec<Rule>>,
    /// Exceptions.
    pub deny: Vec<Rule>,
}

/// Answers that may be sent to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responses {
    /// Messages for each question; `None` is any number.
    pub most: Option<u64>,
    /// How long after the question; `None` is for ever.
    pub within: Option<Duration>,
}

impl Responses {
    /// Answers to one question, if nothing is said of how many.
    pub const USUAL: Self = Self { most: Some(1), within: Some(Duration::from_secs(120)) };
}

/// What a user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects to publish to.
    pub publish: Rules,
    /// Subjects to subscribe to.
    pub subscribe: Rules,
    /// Answers, besides what may be published.
    pub responses: Option<Responses>,
}

impl Rules {
    /// Whether a message with this subject is allowed.
    fn admit(&self, subject: &[u8]) -> bool {
        let one_of = |rules: &[Rule]| rules.iter().any(|rule| matches(rule.subject.as_bytes(), subject));
        self.allow.as_deref().is_none_or(one_of) && !one_of(&self.deny)
    }
}

/// Whether rules speak of a pattern and a group: what those without a group say, or, where some name groups, those.
fn speak(rules: &[Rule], pattern: &[u8], queue: &[u8]) -> (bool, Option<bool>) {
    let about = || rules.iter().filter(|rule| covers(rule.subject.as_bytes(), pattern));
    let plain = about().any(|rule| rule.queue.is_none());
    let mut named = about().filter_map(|rule| rule.queue.as_deref()).peekable();
    if queue.is_empty() || named.peek().is_none() {
        return (plain, None);
    }
    let wild = |name: &str| has_wildcard(name.as_bytes()) && covers(name.as_bytes(), queue);
    (plain, Some(named.any(|name| name.as_bytes() == queue || wild(name))))
}

impl Permissions {
    /// Whether a message may be published, answers aside.
    pub(super) fn may_publish(&self, subject: &[u8]) -> bool {
        self.publish.admit(subject)
    }

    /// Whether a pattern may be subscribed to, in a group if that is not empty.
    pub(super) fn may_subscribe(&self, pattern: &[u8], queue: &[u8]) -> bool {
        let allowed = self.subscribe.allow.as_deref().is_none_or(|rules| {
            let (plain, named) = speak(rules, pattern, queue);
            named.unwrap_or(plain)
        });
        let (plain, named) = speak(&self.subscribe.deny, pattern, queue);
        allowed && !named.unwrap_or(plain)
    }

    /// Whether messages of a subscription that is allowed have to be looked at one by one.
    pub(super) fn narrows(&self, pattern: &[u8]) -> bool {
        has_wildcard(pattern)
            && self.subscribe.deny.iter().any(|rule| covers(pattern, rule.subject.as_bytes()))
    }

    /// Whether a message is kept from somebody who subscribed to more.
    pub(super) fn withholds(&self, subject: &[u8]) -> bool {
        self.subscribe.deny.iter().any(|rule| matches(rule.subject.as_bytes(), subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(all: &[&str]) -> Vec<Rule> {
        let rule = |text: &&str| {
            let (subject, queue) = text.split_once(' ').map_or((*text, None), |(a, b)| (a, Some(b)));
            Rule { subject: subject.to_owned(), queue: queue.map(str::to_owned) }
        };
        all.iter().map(rule).collect()
    }

    #[test]
    fn what_is_denied_is_so_even_if_it_is_allowed() {
        let publish = Rules { allow: Some(rules(&["a.>"])), deny: rules(&["a.secret.*"]) };
        let all = Permissions { publish, ..Permissions::default() };
        assert!(all.may_publish(b"a.b") && all.may_publish(b"a.secret"));
        assert!(!all.may_publish(b"a.secret.x") && !all.may_publish(b"b"));
        assert!(Permissions::default().may_publish(b"anything"));
        let none = Rules { allow: Some(Vec::new()), deny: Vec::new() };
        assert!(!Permissions { publish: none, ..Permissions::default() }.may_publish(b"a"));
    }

    #[test]
    fn a_subscription_must_be_within_what_is_allowed() {
        let subscribe = Rules { allow: Some(rules(&["a.*", "_INBOX.>"])), deny: rules(&["a.secret"]) };
        let all = Permissions { subscribe, ..Permissions::default() };
        assert!(all.may_subscribe(b"a.b", b"") && all.may_subscribe(b"a.*", b"q"));
        assert!(!all.may_subscribe(b"a.>", b"") && !all.may_subscribe(b">", b""));
        assert!(!all.may_subscribe(b"a.secret", b""));
        assert!(all.narrows(b"a.*") && !all.narrows(b"a.b") && all.withholds(b"a.secret"));
    }

    #[test]
    fn groups_have_rules_of_their_own() {
        let subscribe = Rules { allow: Some(rules(&["a v1", "a v2.*", "b"])), deny: rules(&["b *.dev"]) };
        let all = Permissions { subscribe, ..Permissions::default() };
        assert!(all.may_subscribe(b"a", b"v1") && all.may_subscribe(b"a", b"v2.x"));
        assert!(!all.may_subscribe(b"a", b"v3") && !all.may_subscribe(b"a", b""));
        assert!(all.may_subscribe(b"b", b"any") && !all.may_subscribe(b"b", b"x.dev"));
    }
}
