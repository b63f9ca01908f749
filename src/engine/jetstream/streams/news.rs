//! What happens to streams and consumers, told to whoever listens on `$JS.EVENT.…`, in the words of nats-server.

use super::consumer::Consumer;
use super::info::stamped;
use super::times::Time;
use crate::engine::jetstream::names::event_id;
use crate::prng::Prng;
use serde::Serialize;
use serde_json::{Value, json};

/// What the subjects of all but samples begin with.
const ADVISORY: &str = "$JS.EVENT.ADVISORY";

/// Something that happened to a stream or a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// A stream was made (`create`), changed (`modify`) or taken away (`delete`).
    Stream { stream: String, action: &'static str },
    /// A consumer was made or taken away.
    Consumer { stream: String, consumer: String, action: &'static str },
    /// Something happened at a consumer.
    At { stream: String, consumer: String, what: Happening },
    /// A request of the API was answered.
    Request { client: Value, subject: String, request: String, response: String },
}

/// Something that happened at a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// It pauses until a time (nanoseconds since 1970; 0 is no time), or goes on.
    Pause { paused: bool, until: u64 },
    /// A message was delivered as often as is allowed.
    Exceeded { sequence: u64, deliveries: u64 },
    /// A message is asked for again.
    Again(Delivery),
    /// A message was given up.
    Never(Delivery, String),
    /// An acknowledgement that was picked as a sample, this long (nanoseconds) after the delivery.
    Acknowledged(Delivery, u64),
    /// A client has a group for itself.
    Pinned { group: String, id: String },
    /// It has it no more.
    Unpinned { group: String, reason: &'static str },
}

/// A delivery of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Of the stream.
    pub(super) sequence: u64,
    /// Of the consumer.
    pub(super) delivery: u64,
    /// How often it was delivered.
    pub(super) times: u64,
}

impl Delivery {
    fn fields(self) -> Value {
        json!({ "consumer_seq": self.delivery, "stream_seq": self.sequence, "deliveries": self.times })
    }
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    r#type: String,
    id: String,
    timestamp: Time,
    #[serde(flatten)]
    rest: &'a Value,
}

impl News {
    /// The subject, the type and what is said.
    fn parts(self, (server, account): (&str, &str)) -> (String, String, Value) {
        let advisory = |kind: &str| format!("io.nats.jetstream.advisory.v1.{kind}");
        match self {
            Self::Stream { stream, action } => (
                format!("{ADVISORY}.STREAM.{}.{stream}", done(action)),
                advisory("stream_action"),
                json!({ "stream": stream, "action": action }),
            ),
            Self::Consumer { stream, consumer, action } => (
                format!("{ADVISORY}.CONSUMER.{}.{stream}.{consumer}", done(action)),
                advisory("consumer_action"),
                json!({ "stream": stream, "consumer": consumer, "action": action }),
            ),
            Self::At { stream, consumer, what } => {
                let (place, kind, mut rest) = what.parts(account);
                rest["stream"] = stream.as_str().into();
                rest["consumer"] = consumer.as_str().into();
                (format!("$JS.EVENT.{place}.{stream}.{consumer}"), format!("io.nats.jetstream.{kind}"), rest)
            }
            Self::Request { client, subject, request, response } => {
                let mut rest = json!({ "server": server, "client": client, "subject": subject });
                if !request.is_empty() {
                    rest["request"] = request.into();
                }
                rest["response"] = response.into();
                (format!("{ADVISORY}.API"), advisory("api_audit"), rest)
            }
        }
    }

    /// The subject it is told on, and what is said.
    pub(super) fn told(self, names: (&str, &str), (prng, unix): (&mut Prng, u64)) -> (String, Vec<u8>) {
        let (subject, r#type, rest) = self.parts(names);
        let told = Told { r#type, id: event_id(prng), timestamp: Time(unix), rest: &rest };
        (subject, serde_json::to_vec(&told).unwrap_or_default())
    }
}

/// What has been done, as subjects say it.
fn done(action: &str) -> &'static str {
    match action {
        "create" => "CREATED",
        "modify" => "UPDATED",
        _ => "DELETED",
    }
}

impl Happening {
    /// The place in the subject, the kind, and what is said.
    fn parts(self, account: &str) -> (&'static str, &'static str, Value) {
        match self {
            Self::Pause { paused, until } => (
                "ADVISORY.CONSUMER.PAUSE",
                "advisory.v1.consumer_pause",
                json!({ "paused": paused, "pause_until": stamped(until) }),
            ),
            Self::Exceeded { sequence, deliveries } => (
                "ADVISORY.CONSUMER.MAX_DELIVERIES",
                "advisory.v1.max_deliver",
                json!({ "stream_seq": sequence, "deliveries": deliveries }),
            ),
            Self::Again(delivery) => ("ADVISORY.CONSUMER.MSG_NAKED", "advisory.v1.nak", delivery.fields()),
            Self::Never(delivery, reason) => {
                let mut rest = delivery.fields();
                if !reason.is_empty() {
                    rest["reason"] = reason.into();
                }
                ("ADVISORY.CONSUMER.MSG_TERMINATED", "advisory.v1.terminated", rest)
            }
            Self::Acknowledged(delivery, after) => {
                let mut rest = delivery.fields();
                rest["ack_time"] = after.into();
                ("METRIC.CONSUMER.ACK", "metric.v1.consumer_ack", rest)
            }
            Self::Pinned { group, id } => (
                "ADVISORY.CONSUMER.PINNED",
                "advisory.v1.consumer_group_pinned",
                json!({ "account": account, "group": group, "pinned_id": id }),
            ),
            Self::Unpinned { group, reason } => (
                "ADVISORY.CONSUMER.UNPINNED",
                "advisory.v1.consumer_group_unpinned",
                json!({ "account": account, "group": group, "reason": reason }),
            ),
        }
    }
}

impl Consumer {
    /// Takes what happened at it since the last time.
    pub(super) fn take_news(&mut self, stream: &str, news: &mut Vec<News>) {
        if self.news.is_empty() {
            return;
        }
        let consumer = &self.name;
        news.extend(self.news.drain(..).map(|what| News::At {
            stream: stream.to_owned(),
            consumer: consumer.clone(),
            what,
        }));
    }
}

impl super::Streams {
    /// Whether somebody in an account may listen to what happens.
    pub(in super::super) fn listened(&mut self, account: u32) -> &mut bool {
        &mut self.listened[account as usize]
    }

    /// Notes what happened to something of an account, if anybody is to be told.
    pub(super) fn happened(&mut self, account: u32, news: News) {
        if self.listened[account as usize] {
            self.news.push((account, news));
        }
    }

    /// Tells what happened in this tick.
    pub(super) fn tell(&mut self, unix: u64) {
        for (account, news) in std::mem::take(&mut self.news) {
            self.outbox.account = account;
            let names = (&*self.server_name, &*self.account_names[account as usize]);
            let (subject, text) = news.told(names, (&mut self.prng, unix));
            self.outbox.answer(subject.as_bytes(), &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(news: News) -> (String, Value) {
        let (subject, text) = news.told(("n1", "$G"), (&mut Prng::new(1), 1_700_000_000_000_000_000));
        (subject, serde_json::from_slice(&text).unwrap())
    }

    fn at(what: Happening) -> (String, Value) {
        told(News::At { stream: "S".into(), consumer: "c".into(), what })
    }

    #[test]
    fn what_is_told_has_the_shape_of_nats_server() {
        let (subject, value) = told(News::Stream { stream: "S".into(), action: "modify" });
        assert_eq!(subject, "$JS.EVENT.ADVISORY.STREAM.UPDATED.S");
        assert_eq!(value["type"], "io.nats.jetstream.advisory.v1.stream_action");
        assert_eq!(
            (value["action"].as_str(), value["id"].as_str().map(str::len)),
            (Some("modify"), Some(22))
        );
        assert_eq!(value["timestamp"], "2023-11-14T22:13:20Z");
        let delivery = Delivery { sequence: 5, delivery: 7, times: 2 };
        let (subject, value) = at(Happening::Never(delivery, "no good".into()));
        assert_eq!(subject, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c");
        assert_eq!((&value["stream_seq"], &value["consumer_seq"]), (&json!(5), &json!(7)));
        assert_eq!((&value["deliveries"], &value["reason"]), (&json!(2), &json!("no good")));
        let (subject, value) = at(Happening::Acknowledged(delivery, 9));
        assert_eq!(subject, "$JS.EVENT.METRIC.CONSUMER.ACK.S.c");
        assert_eq!(
            (&value["type"], &value["ack_time"]),
            (&json!("io.nats.jetstream.metric.v1.consumer_ack"), &json!(9))
        );
        let (_, value) = at(Happening::Pause { paused: false, until: 0 });
        assert_eq!(value["pause_until"], "0001-01-01T00:00:00Z");
    }
}
