//! Topics as NATS subjects: `<prefix>.<index>`, so that one wildcard covers them all. Where topics are named by
//! wildcards, there is another level below, so that one wildcard covers each of them, too.

use async_nats::Subject;

use crate::driver::{DriverError, ErrorKind};
use crate::scenario::{SubscribeBy, TopicId, Topology};

/// What separates the levels of a subject.
const SEPARATOR: char = '.';

/// The level below a topic, where wildcards stand for it.
const LEVEL: &str = ".m";

/// The subjects of one topology.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// The prefix with its dot.
    start: String,
    /// What follows the index: nothing, or a level that wildcards stand for.
    end: &'static str,
    by: SubscribeBy,
    topics: u32,
}

impl Subjects {
    /// The subjects of a topology.
    pub(super) fn of(topology: &Topology, driver: &'static str) -> Result<Self, DriverError> {
        let prefix = &topology.prefix;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.is_empty() || !prefix.chars().all(plain) {
            let what = format!("topic prefix {prefix:?} is not made of letters, digits, - and _ alone");
            return Err(DriverError::new(ErrorKind::Fatal, driver, what));
        }
        let end = match topology.by {
            SubscribeBy::Name => "",
            SubscribeBy::Pattern => LEVEL,
        };
        let start = format!("{prefix}{SEPARATOR}");
        Ok(Self { start, end, by: topology.by, topics: topology.topics })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.topics as usize
    }

    /// The topic of a subject that a message came on.
    #[inline]
    pub(super) fn topic(&self, driver: &'static str, subject: &[u8]) -> Result<TopicId, DriverError> {
        self.parse(subject).ok_or_else(|| {
            let what = format!("a message came on {}, which is no topic", String::from_utf8_lossy(subject));
            DriverError::new(ErrorKind::Fatal, driver, what)
        })
    }

    /// The subject of a topic.
    pub(super) fn name(&self, topic: TopicId) -> String {
        format!("{}{}{}", self.start, topic.0, self.end)
    }

    /// The subjects of all topics, in their order.
    pub(super) fn table(&self) -> Vec<Subject> {
        (0..self.topics).map(|topic| Subject::from(self.name(TopicId(topic)))).collect()
    }

    /// One wildcard for all topics.
    pub(super) fn all(&self) -> String {
        match self.by {
            SubscribeBy::Name => format!("{}*", self.start),
            SubscribeBy::Pattern => format!("{}>", self.start),
        }
    }

    /// The fewest filters that cover exactly these topics (ascending, distinct).
    pub(super) fn filters(&self, topics: &[TopicId]) -> Vec<String> {
        if topics.len() == self.topics as usize {
            return vec![self.all()];
        }
        match self.by {
            SubscribeBy::Name => topics.iter().map(|&topic| self.name(topic)).collect(),
            SubscribeBy::Pattern => {
                topics.iter().map(|topic| format!("{}{}{SEPARATOR}*", self.start, topic.0)).collect()
            }
        }
    }

    /// The topic of a subject; `None` if it isn't one of ours.
    #[inline]
    pub(super) fn parse(&self, subject: &[u8]) -> Option<TopicId> {
        let digits = subject.strip_prefix(self.start.as_bytes())?.strip_suffix(self.end.as_bytes())?;
        // "01" is a number too, but no subject of ours.
        if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        let index = digits.iter().try_fold(0u32, |index, digit| {
            digit.is_ascii_digit().then(|| index * 10 + u32::from(digit - b'0'))
        })?;
        (index < self.topics).then_some(TopicId(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Subscribe};

    fn topology(prefix: &str, topics: u32) -> Topology {
        Topology {
            publishers: 1,
            publisher_connections: 1,
            subscribers: 1,
            subscriber_connections: 1,
            topics,
            subscribe: Subscribe::All,
            delivery: Delivery::FanOut,
            payload_max: 16,
            prefix: prefix.to_owned(),
            ..Topology::default()
        }
    }

    #[test]
    fn every_topic_is_found_again_by_its_subject_and_nothing_else_is() {
        let subjects = Subjects::of(&topology("bm", 1000), "nats-core").unwrap();
        for topic in (0..1000).map(TopicId) {
            assert_eq!(subjects.parse(subjects.name(topic).as_bytes()), Some(topic));
        }
        for stranger in ["bm.1000", "bm.01", "bm.+1", "bm.", "bm1", "bn.1", "bm.1.2", "bm.-1"] {
            assert_eq!(subjects.parse(stranger.as_bytes()), None, "{stranger}");
        }
    }

    #[test]
    fn one_wildcard_stands_for_all_topics_and_names_for_some() {
        let subjects = Subjects::of(&topology("bm", 3), "nats-core").unwrap();
        assert_eq!(subjects.filters(&[TopicId(0), TopicId(1), TopicId(2)]), ["bm.*"]);
        assert_eq!(subjects.filters(&[TopicId(0), TopicId(2)]), ["bm.0", "bm.2"]);
    }

    #[test]
    fn by_wildcard_every_topic_has_one_of_its_own_and_all_have_one_together() {
        let subjects =
            Subjects::of(&Topology { by: SubscribeBy::Pattern, ..topology("bm", 3) }, "nats-core").unwrap();
        assert_eq!(subjects.filters(&[TopicId(0), TopicId(1), TopicId(2)]), ["bm.>"]);
        assert_eq!(subjects.filters(&[TopicId(0), TopicId(2)]), ["bm.0.*", "bm.2.*"]);
        assert_eq!(subjects.name(TopicId(2)), "bm.2.m");
        assert_eq!(subjects.parse(b"bm.2.m"), Some(TopicId(2)));
        for stranger in ["bm.3.m", "bm.2", "bm.2.x", "bm.m", "bm..m"] {
            assert_eq!(subjects.parse(stranger.as_bytes()), None, "{stranger}");
        }
    }

    #[test]
    fn a_prefix_that_would_change_a_subjects_meaning_is_refused() {
        for prefix in ["", "a.b", "a*", "a b", ">"] {
            assert!(Subjects::of(&topology(prefix, 1), "nats-core").is_err(), "{prefix}");
        }
    }
}
