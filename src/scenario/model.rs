//! The validated scenario: plain data with every default filled in. Nothing here knows TOML, tokio or a driver.

use std::path::PathBuf;
use std::time::Duration;

use super::broker::Broker;
use super::dual_write::DualWrite;
use super::expect::Expect;
use super::happenings::{Behaviour, Churn, Event};
use super::options::{
    Client, ClusterMode, JetstreamOptions, LoopbackOptions, NatsCoreOptions, RedisClusterOptions,
    RedisPubsubOptions, RedisStreamsOptions,
};
use super::options_kafka::KafkaOptions;
use super::sweep::{Point, Sweep};
use super::traffic::{PayloadSize, Shape, TopicChoice};

/// What to run: one workload, its phases and trials, and the targets it is put to.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Names the result folder; `[a-z0-9-]+`.
    pub name: String,
    /// One sentence for lists and reports.
    pub description: String,
    /// For which machines its figures are meant.
    pub scale: Scale,
    /// The traffic.
    pub workload: Workload,
    /// Warm-up, measurement and drain.
    pub phases: Phases,
    /// How often, and from which seed.
    pub trials: Trials,
    /// The systems compared; at least one, names unique.
    pub targets: Vec<Target>,
    /// What must hold of the result.
    pub expects: Vec<Expect>,
    /// What is done to brokers.
    pub events: Vec<Event>,
    /// What some subscribers do that the others don't.
    pub behaviours: Vec<Behaviour>,
    /// Keys that take several values.
    pub sweep: Sweep,
    /// The points of the sweep, at least one if there is any; each is a scenario of its own.
    pub points: Vec<Point>,
}

/// For which machines a scenario's figures are meant. It changes nothing of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Any one machine, in minutes.
    Local,
    /// Machines of their own for brokers and load, such as scripts/reproduce makes.
    Full,
}

/// The traffic of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Bytes per message.
    pub payload: PayloadSize,
    /// What the bytes behind the stamp are.
    pub fill: Fill,
    /// Logical publishers, 1 to 65,536.
    pub publishers: u32,
    /// Connections they share, 1 to `publishers`.
    pub publisher_connections: u32,
    /// Logical subscribers, 0 to 65,536.
    pub subscribers: u32,
    /// Connections they share, 1 to `subscribers` (0 without subscribers).
    pub subscriber_connections: u32,
    /// Topics, at least 1.
    pub topics: u32,
    /// To which topic each message goes.
    pub topic_choice: TopicChoice,
    /// Who reads which topic.
    pub subscribe: Subscribe,
    /// How topics are named in a subscription.
    pub subscribe_by: SubscribeBy,
    /// One copy for each subscriber, or one copy for all of them together.
    pub delivery: Delivery,
    /// Subscribers that read the same traffic each in their own way; empty where all are one audience.
    pub audiences: Vec<Audience>,
    /// Offered rate, all publishers together.
    pub rate: Rate,
    /// How the rate changes over the measured phase.
    pub shape: Shape,
    /// How intended send times are spaced at a given rate.
    pub arrival: Arrival,
    /// Messages in flight at most at rate max, all publishers together; at a given rate it bounds
    /// nothing but the unacknowledged messages of systems that acknowledge.
    pub in_flight: u32,
    /// Simulated work of a subscriber for each message.
    pub processing_delay: Delay,
    /// Messages that one subscriber works on at a time, at least 1.
    pub processing_concurrency: u32,
    /// A connection that broke is opened again, with so much time between two attempts; `None` ends it.
    pub reconnect: Option<Duration>,
    /// Connections that are closed and opened again all the time.
    pub churn: Churn,
}

/// Subscribers that read all topics together, beside others who do so in their own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Unique in the scenario; `[A-Za-z0-9._-]+`.
    pub name: String,
    /// How many of the scenario's subscribers they are, at least 1; audiences follow one on the other.
    pub subscribers: u32,
    /// One copy for each of them, or one for all of them together.
    pub delivery: Delivery,
}

impl Workload {
    /// Whether any subscribers share their messages among them.
    #[must_use]
    pub fn has_queue(&self) -> bool {
        let queue = |audience: &Audience| audience.delivery == Delivery::WorkQueue;
        self.delivery == Delivery::WorkQueue || self.audiences.iter().any(queue)
    }
}

/// What the bytes behind the stamp are.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// All zero.
    Zero,
    /// Seeded random bytes, which nothing can compress.
    Random,
    /// Text-like bytes of which about this share (0 to 1) is redundant.
    Text {
        /// 0 is incompressible, 1 one repeated byte.
        compressibility: f64,
    },
    /// The bytes of a user's file, repeated as needed.
    File(PathBuf),
    /// Several random bodies in turn.
    Pool {
        /// Different bodies on each connection, at least 1.
        bodies: u32,
        /// Messages of a publisher that carry the same body one after the other, at least 1.
        repeat: u32,
    },
}

/// Who reads which topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribe {
    /// Every subscriber reads every topic.
    All,
    /// Subscriber i reads topic i mod topics (and topic t is read by subscriber t mod subscribers).
    Paired,
}

/// How topics are named in a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeBy {
    /// Each by its name, or by whatever the system does best.
    Name,
    /// By a pattern or wildcard: one for all topics where a subscriber reads them all, else one for each.
    Pattern,
}

/// How many copies of a message are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// One for each subscriber of the topic.
    FanOut,
    /// One for all subscribers of the topic together.
    WorkQueue,
}

/// Offered rate of all publishers together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Closed loop: as fast as the in-flight window allows.
    Max,
    /// Open loop, in messages per second.
    PerSecond(f64),
}

/// Spacing of intended send times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Equal intervals.
    Constant,
    /// Exponential intervals: independent users.
    Poisson,
    /// So many at the same time, then none until the next so many are due.
    Burst(u32),
}

/// Simulated processing time of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delay {
    /// The same for each message; zero means none.
    Fixed(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
    /// For a share of the messages, and nothing for the others.
    Share {
        /// Of all messages, 0 to 1.
        share: f64,
        /// What each of them takes.
        of: Duration,
    },
    /// Lognormally distributed.
    Lognormal {
        /// Median of the distribution.
        median: Duration,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

/// The parts of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// Traffic before anything counts.
    pub warm_up: Duration,
    /// Traffic that counts.
    pub measure: Extent,
    /// How long to wait for what is still under way, at most.
    pub drain: Duration,
}

/// Length of the measured phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// By time.
    Time(Duration),
    /// By number of messages, all publishers together.
    Messages(u64),
}

/// Repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trials {
    /// Trials of each target, at least 1.
    pub count: u32,
    /// Seeds everything random.
    pub seed: u64,
}

/// A messaging system as configured for this scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Unique in the scenario; `[A-Za-z0-9._-]+`.
    pub name: String,
    /// The protocol spoken, with its options.
    pub driver: DriverConfig,
    /// Where the broker comes from.
    pub broker: Broker,
    /// A second system that each message is written to as well; then the first is the old one.
    pub dual_write: Option<DualWrite>,
    /// Leave this target out, with a word, if its broker can't be had.
    pub optional: bool,
    /// What it costs, USD an hour, all its machines together.
    pub price_per_hour: Option<f64>,
}

/// Which driver, with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum DriverConfig {
    /// In memory, with seeded faults.
    Loopback(LoopbackOptions),
    /// Redis Pub/Sub.
    RedisPubsub(RedisPubsubOptions),
    /// Pub/Sub on a Redis Cluster.
    RedisCluster(RedisClusterOptions),
    /// Redis Streams.
    RedisStreams(RedisStreamsOptions),
    /// NATS core.
    NatsCore(NatsCoreOptions),
    /// NATS JetStream.
    Jetstream(JetstreamOptions),
    /// Apache Kafka; a busmark built without the feature `kafka` can check it but not drive it.
    Kafka(KafkaOptions),
}

impl DriverConfig {
    /// The name a scenario gives it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loopback(_) => "loopback",
            Self::RedisPubsub(_) => "redis-pubsub",
            Self::RedisCluster(_) => "redis-cluster",
            Self::RedisStreams(_) => "redis-streams",
            Self::NatsCore(_) => "nats-core",
            Self::Jetstream(_) => "jetstream",
            Self::Kafka(_) => "kafka",
        }
    }

    /// Whether subscribers can name topics by a pattern.
    #[must_use]
    pub fn knows_patterns(&self) -> bool {
        match self {
            Self::RedisPubsub(_) | Self::NatsCore(_) | Self::Jetstream(_) => true,
            Self::RedisCluster(options) => options.mode == ClusterMode::Classic,
            Self::Loopback(_) | Self::RedisStreams(_) | Self::Kafka(_) => false,
        }
    }

    /// `wire` or `library`: who builds the frames.
    #[must_use]
    pub fn client(&self) -> &'static str {
        match self {
            Self::Loopback(_) => "memory",
            Self::RedisPubsub(options) => options.client.name(),
            Self::NatsCore(options) => options.client.name(),
            Self::Jetstream(options) => options.client.name(),
            Self::RedisCluster(_) | Self::RedisStreams(_) => Client::Wire.name(),
            Self::Kafka(_) => Client::Library.name(),
        }
    }
}
