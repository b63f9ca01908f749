//! The vocabulary of a scenario file: each key with its kind, limits, default and meaning, stated once. The
//! reader, the error messages and the JSON Schema all follow it.

use std::time::Duration;

use super::broker::{Server, Transport};
use super::happenings::Action;
use super::model::{Delivery, Scale, Subscribe, SubscribeBy};
pub(super) use super::spec_drivers::DRIVERS;
pub use super::spec_drivers::driver_names;
use super::spec_dual_write::DUAL_WRITE;
use super::sweep::Combine;
use super::words::words;

/// One key of a table.
pub(super) struct Key {
    /// As written in the file.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
    /// What counts if it isn't there.
    pub(super) default: Default,
    /// One sentence for people.
    pub(super) doc: &'static str,
}

/// What counts if a key isn't there.
pub(super) enum Default {
    /// It has to be there.
    Required,
    /// This TOML value.
    Is(&'static str),
    /// It depends on other keys, in words.
    Depends(&'static str),
    /// Nothing: the key is optional.
    Absent,
}

/// What may stand at a key.
pub(super) enum Kind {
    /// Any text.
    Text,
    /// A text of these characters and `A-Z a-z 0-9`, at least one.
    Name {
        /// Further characters.
        punctuation: &'static str,
    },
    /// Bytes, at most this many.
    Size {
        /// Limit, in bytes.
        max: u64,
    },
    /// A time span.
    Span,
    /// `max`, or messages per second.
    Rate,
    /// A whole number.
    Whole {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number from 0 to this.
    Number {
        /// Largest.
        max: f64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// Exactly this word (one of several forms of a value).
    Literal(&'static str),
    /// The options of the driver that the target names: see [`DRIVERS`].
    Options,
    /// A table of these keys.
    Table(&'static [Key]),
    /// A list of at least `min`.
    List {
        /// Fewest items.
        min: usize,
        /// Each of them.
        of: &'static Kind,
    },
    /// Anything.
    Any,
    /// Any keys, with texts or numbers.
    Settings,
    /// One of several forms.
    AnyOf(&'static [Kind]),
}

/// Actors and lanes are named by 16 bits in the stamp.
pub(super) const ACTORS_MAX: u64 = 65_536;
/// Largest payload that any broker takes (a Redis bulk string).
pub(super) const PAYLOAD_MAX: u64 = 512 << 20;
/// Largest seed: TOML's numbers have a sign.
pub(super) const SEED_MAX: u64 = i64::MAX as u64;

/// A key.
pub(super) const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

pub(super) const COUNT: Kind = Kind::Whole { min: 1, max: ACTORS_MAX };
const SIZE: Kind = Kind::Size { max: PAYLOAD_MAX };
const FACTOR: Kind = Kind::Number { max: 1e6 };
const PER_SECOND: Kind = Kind::Number { max: 10_000.0 };
pub(super) const RATIO: Kind = Kind::Number { max: 1.0 };

/// The file as a whole.
pub(super) static SCENARIO: &[Key] = &[
    key(
        "name",
        Kind::Name { punctuation: "-" },
        Default::Required,
        "Names the result folder: lower-case letters, digits and hyphens.",
    ),
    key("description", Kind::Text, Default::Is("\"\""), "One sentence for lists and reports."),
    key(
        "scale",
        Kind::Word(words::<Scale>),
        Default::Is("\"local\""),
        "For which machines its figures are meant: any one, or machines of their own for brokers and load.",
    ),
    key("workload", Kind::Table(WORKLOAD), Default::Is("{}"), "The traffic."),
    key(
        "audience",
        Kind::List { min: 0, of: &Kind::Table(AUDIENCE) },
        Default::Is("[]"),
        "Subscribers that read the same traffic in their own way, one [[audience]] each; all are one audience if there is none.",
    ),
    key("phases", Kind::Table(PHASES), Default::Is("{}"), "Warm-up, measurement and drain."),
    key("trials", Kind::Table(TRIALS), Default::Is("{}"), "How often, and from which seed."),
    key(
        "event",
        Kind::List { min: 0, of: &Kind::Table(EVENT) },
        Default::Is("[]"),
        "What is done to brokers at given times, one [[event]] each.",
    ),
    key(
        "behaviour",
        Kind::List { min: 0, of: &Kind::Table(BEHAVIOUR) },
        Default::Is("[]"),
        "What some subscribers do that the others don't, one [[behaviour]] each.",
    ),
    key("sweep", Kind::Table(SWEEP), Default::Is("{}"), "Keys that take several values, one point for each."),
    key(
        "target",
        Kind::List { min: 1, of: &Kind::Table(TARGET) },
        Default::Required,
        "The systems compared, one [[target]] each.",
    ),
    key(
        "expect",
        Kind::List { min: 0, of: &Kind::Table(EXPECT) },
        Default::Is("[]"),
        "What must hold of the result, one [[expect]] each.",
    ),
];

/// `[workload]`.
pub(super) static WORKLOAD: &[Key] = &[
    key(
        "payload",
        Kind::AnyOf(&[Kind::Size { max: PAYLOAD_MAX }, Kind::Table(PAYLOAD)]),
        Default::Is("\"1KiB\""),
        "Bytes per message: one size, a weighted list, a range, or a lognormal distribution.",
    ),
    key(
        "fill",
        Kind::AnyOf(&[Kind::Literal("zero"), Kind::Literal("random"), Kind::Table(FILL)]),
        Default::Is("\"random\""),
        "What the bytes behind the stamp are.",
    ),
    key("publishers", COUNT, Default::Is("1"), "Logical publishers."),
    key(
        "publisher_connections",
        COUNT,
        Default::Depends("the publishers, 8 at most"),
        "Connections they share; the same number for every target.",
    ),
    key(
        "subscribers",
        Kind::Whole { min: 0, max: ACTORS_MAX },
        Default::Depends("those of all audiences, or 1"),
        "Logical subscribers; 0 measures publishing alone.",
    ),
    key(
        "subscriber_connections",
        Kind::Whole { min: 0, max: ACTORS_MAX },
        Default::Depends("the subscribers, 128 at most"),
        "Connections they share; the same number for every target.",
    ),
    key("topics", COUNT, Default::Is("1"), "Topics that publishers write to."),
    key(
        "topic_choice",
        Kind::AnyOf(&[Kind::Literal("round_robin"), Kind::Literal("uniform"), Kind::Table(CHOICE)]),
        Default::Is("\"round_robin\""),
        "To which topic each message goes: in turn (with more publishers than topics, each publisher has one), to any, or to few more often than to many.",
    ),
    key(
        "subscribe",
        Kind::Word(words::<Subscribe>),
        Default::Is("\"all\""),
        "Who reads which topic: every subscriber all of them, or subscriber i topic i.",
    ),
    key(
        "subscribe_by",
        Kind::Word(words::<SubscribeBy>),
        Default::Is("\"name\""),
        "How subscribers name topics: by name, or by a pattern (Redis PSUBSCRIBE, a NATS wildcard), one for all topics or one for each.",
    ),
    key(
        "delivery",
        Kind::Word(words::<Delivery>),
        Default::Is("\"fan_out\""),
        "One copy for each subscriber of a topic, or one for all of them together.",
    ),
    key("rate", Kind::Rate, Default::Is("\"20k/s\""), "Offered rate, all publishers together."),
    key(
        "shape",
        Kind::AnyOf(&[Kind::Literal("flat"), Kind::Table(SHAPE)]),
        Default::Is("\"flat\""),
        "How the rate changes over the measured phase.",
    ),
    key(
        "arrival",
        Kind::AnyOf(&[Kind::Literal("constant"), Kind::Literal("poisson"), Kind::Table(BURST)]),
        Default::Is("\"constant\""),
        "Spacing of the messages: even, as of independent users, or in bursts.",
    ),
    key(
        "in_flight",
        Kind::Whole { min: 1, max: 10_000_000 },
        Default::Is("1000"),
        "Messages in flight at most at rate max, and unacknowledged messages at most at any rate; all publishers together.",
    ),
    key(
        "processing_delay",
        Kind::AnyOf(&[Kind::Span, Kind::Table(DELAY)]),
        Default::Is("\"0us\""),
        "Simulated work of a subscriber for each message.",
    ),
    key("processing_concurrency", COUNT, Default::Is("1"), "Messages one subscriber works on at a time."),
    key(
        "reconnect",
        Kind::AnyOf(&[Kind::Literal("never"), Kind::Span]),
        Default::Is("\"never\""),
        "Open a connection that broke again, with so much time between two attempts; each break is counted.",
    ),
    key(
        "subscriber_churn",
        PER_SECOND,
        Default::Is("0.0"),
        "Subscribing connections closed and opened again per second, one after the other.",
    ),
    key("publisher_churn", PER_SECOND, Default::Is("0.0"), "The same for publishing connections."),
    key("churn_away", Kind::Span, Default::Is("\"100ms\""), "How long each of them stays away."),
];

/// `[[audience]]`; each reads all topics.
pub(super) static AUDIENCE: &[Key] = &[
    key("name", Kind::Name { punctuation: "-._" }, Default::Required, "Unique in the scenario."),
    key(
        "subscribers",
        COUNT,
        Default::Is("1"),
        "How many of the subscribers they are, in the order of the file.",
    ),
    key(
        "delivery",
        Kind::Word(words::<Delivery>),
        Default::Is("\"fan_out\""),
        "One copy for each of them, or one for all of them together.",
    ),
];

/// `payload = { … }`: `weighted`, `from` with `to`, or `lognormal` with `sigma` and `max`.
pub(super) static PAYLOAD: &[Key] = &[
    key(
        "weighted",
        Kind::List { min: 1, of: &Kind::Table(WEIGHTED) },
        Default::Absent,
        "Sizes with their weights.",
    ),
    key("from", SIZE, Default::Absent, "Smallest of a range in which all sizes are alike."),
    key("to", SIZE, Default::Absent, "Largest of it."),
    key("lognormal", SIZE, Default::Absent, "Median of a lognormal distribution."),
    key("sigma", Kind::Number { max: 5.0 }, Default::Absent, "Standard deviation of its logarithm."),
    key("min", SIZE, Default::Absent, "Its smallest size (32B): what is smaller is drawn again."),
    key("max", SIZE, Default::Absent, "Its largest size: what is larger is drawn again."),
];

/// An item of `payload.weighted`.
pub(super) static WEIGHTED: &[Key] = &[
    key("size", SIZE, Default::Required, "Bytes."),
    key("weight", Kind::Number { max: 1e9 }, Default::Required, "Share, in proportion to the other weights."),
];

/// `topic_choice = { … }`.
pub(super) static CHOICE: &[Key] = &[key(
    "zipf",
    Kind::Number { max: 10.0 },
    Default::Required,
    "Exponent: topic k (from 1) is chosen in proportion to 1 / k^exponent.",
)];

/// `arrival = { … }`.
pub(super) static BURST: &[Key] = &[key(
    "burst",
    Kind::Whole { min: 2, max: 1_000_000 },
    Default::Required,
    "Messages that are due at the same time, all publishers together; the mean rate stays.",
)];

/// `shape = { … }`: `steps` with `every`; `ramp` or `spike` with `after` and `over`; `sine` with `period`;
/// `replay`; or `csv`.
pub(super) static SHAPE: &[Key] = &[
    key(
        "steps",
        Kind::List { min: 1, of: &FACTOR },
        Default::Absent,
        "Factors of the rate, one after the other; 0 is silence, and the last one holds.",
    ),
    key("every", Kind::Span, Default::Absent, "How long each step holds."),
    key("ramp", FACTOR, Default::Absent, "Factor that the rate goes to in a straight line."),
    key("spike", FACTOR, Default::Absent, "Factor of the rate for a while."),
    key(
        "after",
        Kind::Span,
        Default::Absent,
        "When ramp or spike begins (0s), since the start of the measured phase.",
    ),
    key("over", Kind::Span, Default::Absent, "How long the ramp takes, or the spike lasts."),
    key("sine", RATIO, Default::Absent, "Largest distance of the factor from 1."),
    key("period", Kind::Span, Default::Absent, "Time from peak to peak."),
    key(
        "replay",
        Kind::List { min: 1, of: &Kind::List { min: 2, of: &Kind::Number { max: 1e9 } } },
        Default::Absent,
        "Rates that take the place of `rate`: [second, messages per second], seconds from 0 on.",
    ),
    key(
        "csv",
        Kind::Text,
        Default::Absent,
        "The same from a file of `second,rate`, looked for beside the scenario.",
    ),
];

/// `fill = { … }`: `text`, `file`, or `pool` with `repeat`.
pub(super) static FILL: &[Key] = &[
    key("text", RATIO, Default::Absent, "Text-like bytes, of which this share (0 to 1) is redundant."),
    key("file", Kind::Text, Default::Absent, "The bytes of this file, repeated as needed."),
    key(
        "pool",
        Kind::Whole { min: 1, max: 65_536 },
        Default::Absent,
        "So many different random bodies on each connection, in turn.",
    ),
    key(
        "repeat",
        Kind::Whole { min: 1, max: 1_000_000 },
        Default::Absent,
        "Messages of a publisher that carry the same body one after the other (1).",
    ),
];

/// `processing_delay = { … }`: `exponential`, `lognormal` with `sigma`, or `share` with `of`.
pub(super) static DELAY: &[Key] = &[
    key("exponential", Kind::Span, Default::Absent, "Mean of an exponential distribution."),
    key("lognormal", Kind::Span, Default::Absent, "Median of a lognormal distribution."),
    key("sigma", Kind::Number { max: 5.0 }, Default::Absent, "Standard deviation of its logarithm."),
    key("share", RATIO, Default::Absent, "Share of the messages that take any time at all."),
    key("of", Kind::Span, Default::Absent, "What each of them takes."),
];

/// `[phases]`.
pub(super) static PHASES: &[Key] = &[
    key("warm_up", Kind::Span, Default::Is("\"2s\""), "Traffic before anything counts."),
    key(
        "measure",
        Kind::AnyOf(&[Kind::Span, Kind::Table(MESSAGES)]),
        Default::Is("\"10s\""),
        "Traffic that counts, by time or by number of messages.",
    ),
    key("drain", Kind::Span, Default::Is("\"5s\""), "How long to wait for what is still under way."),
];

/// `measure = { messages = … }`.
pub(super) static MESSAGES: &[Key] = &[key(
    "messages",
    Kind::Whole { min: 1, max: 1_000_000_000_000 },
    Default::Required,
    "Messages, all publishers together.",
)];

/// `[trials]`.
pub(super) static TRIALS: &[Key] = &[
    key(
        "count",
        Kind::Whole { min: 1, max: 1_000 },
        Default::Is("5"),
        "Trials of each target, in turn; fewer than 5 judge no percentile.",
    ),
    key("seed", Kind::Whole { min: 0, max: SEED_MAX }, Default::Is("42"), "Seeds everything random."),
];

/// `[[event]]`.
pub(super) static EVENT: &[Key] = &[
    key("at", Kind::Span, Default::Required, "When, since the start of the measured phase."),
    key(
        "do",
        Kind::Word(words::<Action>),
        Default::Required,
        "SIGKILL; SIGSTOP and, after a while, SIGCONT; or SIGKILL and, after a while, a new start with the same data.",
    ),
    key(
        "node",
        Kind::AnyOf(&[Kind::Whole { min: 0, max: 63 }, Kind::Literal("leader")]),
        Default::Is("0"),
        "Which server of the broker, or the one that leads the replicated stream by then.",
    ),
    key("for", Kind::Span, Default::Absent, "How long a pause lasts, or a restarted server stays away (0s)."),
    key("target", Kind::Text, Default::Absent, "The target it concerns; each of them if absent."),
];

/// `[[behaviour]]`; times are since the start of the measured phase.
pub(super) static BEHAVIOUR: &[Key] = &[
    key(
        "first",
        Kind::Whole { min: 0, max: ACTORS_MAX - 1 },
        Default::Is("0"),
        "The first subscriber it concerns.",
    ),
    key("count", COUNT, Default::Is("1"), "How many."),
    key("join", Kind::Span, Default::Absent, "They subscribe only then."),
    key("leave", Kind::Span, Default::Absent, "They close their connections then."),
    key("rejoin", Kind::Span, Default::Absent, "They subscribe again then."),
    key("stop_reading", Kind::Span, Default::Absent, "They stay connected and read nothing from then on."),
    key("read_again", Kind::Span, Default::Absent, "They read again from then on; never if absent."),
    key(
        "processing_delay",
        Kind::AnyOf(&[Kind::Span, Kind::Table(DELAY)]),
        Default::Absent,
        "Their own simulated work for each message.",
    ),
];

/// `[sweep]`.
pub(super) static SWEEP: &[Key] = &[
    key(
        "combine",
        Kind::Word(words::<Combine>),
        Default::Is("\"cross\""),
        "Every value of each key with every value of the others, or the lists side by side.",
    ),
    key(
        "axes",
        Kind::List { min: 0, of: &Kind::Table(SWEPT) },
        Default::Is("[]"),
        "The keys, each with its values.",
    ),
];

/// An item of `sweep.axes`.
pub(super) static SWEPT: &[Key] = &[
    key("key", Kind::Text, Default::Required, "A key as on --set, such as workload.rate."),
    key("values", Kind::List { min: 1, of: &Kind::Any }, Default::Required, "The values it takes."),
];

const PLACES: &[Kind] =
    &[Kind::Literal("managed"), Kind::Literal("bundled"), Kind::Literal("none"), Kind::Table(BROKER)];

/// What a system is: its driver, what that can be told, and where its broker comes from.
pub(super) const DRIVER: Key =
    key("driver", Kind::Word(driver_names), Default::Required, "The protocol spoken.");
pub(super) const OPTIONS: Key =
    key("options", Kind::Options, Default::Is("{}"), "What the driver can be told.");
pub(super) const PLACE: Key = key(
    "broker",
    Kind::AnyOf(PLACES),
    Default::Depends("`managed`, and `none` for loopback"),
    "Where the broker comes from: started from PATH or .brokers/, bundled with busmark, or given by a table.",
);

/// `[[target]]`.
pub(super) static TARGET: &[Key] = &[
    key("name", Kind::Name { punctuation: "-._" }, Default::Required, "Unique in the scenario."),
    DRIVER,
    PLACE,
    key(
        "price_per_hour",
        Kind::Number { max: 1e6 },
        Default::Absent,
        "What it costs, USD an hour, all its machines together.",
    ),
    key("optional", Kind::Flag, Default::Is("false"), "Leave it out, with a word, if it can't be had."),
    OPTIONS,
    key(
        "dual_write",
        Kind::Table(DUAL_WRITE),
        Default::Absent,
        "A second, new system that each message is written to as well, and when subscribers move there.",
    ),
];

/// `broker = { … }`: `server`, `nodes`, `transport` and `config` (managed), `url` alone (external), or `command`
/// with `url`.
pub(super) static BROKER: &[Key] = &[
    key(
        "server",
        Kind::Word(words::<Server>),
        Default::Depends("the usual server of the driver"),
        "Whose program a managed broker is.",
    ),
    key(
        "nodes",
        Kind::Whole { min: 1, max: NODES_MAX },
        Default::Depends("1, and 3 for redis-cluster"),
        "Servers that form a managed broker; more than one are a cluster.",
    ),
    key(
        "transport",
        Kind::Word(words::<Transport>),
        Default::Depends("`tcp`"),
        "How clients reach a managed server: TCP on loopback, or a Unix socket.",
    ),
    key("config", Kind::Settings, Default::Absent, "Lines for the configuration of a managed server."),
    key(
        "url",
        Kind::Text,
        Default::Absent,
        "Where it is, such as redis://HOST:PORT, unix:///PATH or nats://HOST:PORT; ${NAME} stands for an environment variable.",
    ),
    key(
        "command",
        Kind::List { min: 1, of: &Kind::Text },
        Default::Absent,
        "Program and arguments of a server of yours; {port} and {dir} are replaced.",
    ),
    key("ready_within", Kind::Span, Default::Absent, "How long that server may take until it answers (10s)."),
];

/// Servers of a managed broker at most.
pub(super) const NODES_MAX: u64 = 16;

/// How long a server given by `command` may take, if nothing is said.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(10);

/// `[[expect]]`.
pub(super) static EXPECT: &[Key] = &[
    key(
        "that",
        Kind::Text,
        Default::Absent,
        "The expectation, such as \"delivery_time_us_p99 <= 5000\" or \"nats.lost == 0\".",
    ),
    key("metric", Kind::Text, Default::Absent, "Instead of `that`, with `is`: a column of summary.csv."),
    key("is", Kind::Text, Default::Absent, "Comparison and value, such as \"== 0\"."),
    key("target", Kind::Text, Default::Absent, "The target it speaks of; each of them if absent."),
    key("point", Kind::Text, Default::Absent, "The point of a sweep it speaks of; each if absent."),
    key(
        "against",
        Kind::Text,
        Default::Absent,
        "The point that the metric on the right is taken at; the same if absent.",
    ),
    key("claim", Kind::Text, Default::Absent, "The sentence it puts to the test."),
    key("source", Kind::Text, Default::Absent, "Where that sentence stands."),
];
