//! `kafka`: Apache Kafka through librdkafka. Each topic of the scenario is a topic of its own at the broker, named anew
//! for each trial, so that nothing of an earlier one can be read. A publishing connection writes to one partition of each
//! topic, which keeps its order; a subscribing one is a member of a group, or reads all partitions by itself.

mod control;
mod link;
mod publisher;
mod reader;
mod sources;
mod subscriber;

pub use control::{Known, settings, who};
pub use publisher::KafkaPublisher;
pub use subscriber::KafkaSubscriber;

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::ThreadedProducer;
use rdkafka::topic_partition_list::Offset;
use tokio::time::timeout;

use super::{
    Acknowledgement, DeliveryGuarantee, Driver, DriverError, Durability, Guarantees, Leftovers, by_name_only,
};
use crate::scenario::{
    self, Compression, KAFKA_PARTITIONS_MAX, KafkaAcks, KafkaConsumer, KafkaFlush, KafkaOptions,
    Subscription, TopicId, Topology,
};
use link::{Control, SETUP_LIMIT, disconnected, fatal, of_library};
use publisher::Reports;
use reader::{Inbox, Watch};
use sources::{Accounts, Sources};

/// Name of the driver in errors and results.
const NAME: &str = "kafka";
/// Room for what surrounds a payload in a request.
const AROUND_PAYLOAD: usize = 64 * 1024;
/// The longest message that brokers and clients take if nothing is said.
const USUAL_MESSAGE: usize = 1_000_000;
/// A batch whose answer doesn't come within this is unknown.
const ANSWER_WITHIN_MS: &str = "60000";
/// Requests that a broker has not answered, of a connection, at most.
const REQUESTS_IN_FLIGHT: &str = "5";

/// The topics' names at the broker, in one generation of them.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    all: Arc<[String]>,
    suffix: Arc<str>,
}

impl Names {
    fn new(topology: &Topology, generation: u32) -> Self {
        let suffix = format!(".{generation}");
        let name = |topic| topology.topic_name(TopicId(topic)) + &suffix;
        Self { all: (0..topology.topics).map(name).collect(), suffix: suffix.into() }
    }

    fn of(&self, topic: TopicId) -> &str {
        &self.all[topic.0 as usize]
    }

    /// The name as the topology knows it, if it is of this generation.
    fn without_generation<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(&*self.suffix)
    }
}

/// Apache Kafka at one broker or several.
#[derive(Debug, Clone)]
pub struct Kafka {
    servers: Arc<str>,
    options: KafkaOptions,
    accounts: Arc<Accounts>,
    /// Which generation of topics this trial uses; `prepare` takes a new one.
    generation: Arc<Mutex<u32>>,
}

impl Kafka {
    /// The brokers at `url`: `kafka://HOST:PORT`, several with commas between them. Connects to nothing yet.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str, options: &KafkaOptions) -> Result<Self, DriverError> {
        let servers = link::servers(url)?.into();
        Ok(Self { servers, options: options.clone(), accounts: Arc::default(), generation: Arc::default() })
    }

    fn names(&self, topology: &Topology) -> Names {
        Names::new(topology, *self.generation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client for control work at brokers of which one at least is there.
    async fn control(&self) -> Result<Control, DriverError> {
        link::listening(&self.servers).await?;
        link::control(&self.servers)
    }

    fn library_error(&self, error: &rdkafka::error::KafkaError) -> DriverError {
        of_library(&self.servers, error)
    }

    fn publishing(&self, payload_max: usize) -> ClientConfig {
        let options = &self.options;
        let mut config = link::config(&self.servers);
        let acks = match options.acks {
            KafkaAcks::None => "0",
            KafkaAcks::Leader => "1",
            KafkaAcks::All => "all",
        };
        let compression = match options.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
        };
        config
            .set("acks", acks)
            .set("linger.ms", (options.linger.as_secs_f64() * 1e3).to_string())
            .set("batch.size", options.batch_bytes.to_string())
            .set("compression.codec", compression)
            // Above the topics' limit, so that it is the broker who refuses.
            .set("message.max.bytes", (message_max(payload_max) + AROUND_PAYLOAD).to_string())
            .set("message.timeout.ms", ANSWER_WITHIN_MS)
            // What Java's clients do: behind a busy broker messages wait here and leave in batches. librdkafka's own
            // million lets each leave alone, and a broker that is slow by one request a message stays slow.
            .set("max.in.flight.requests.per.connection", REQUESTS_IN_FLIGHT)
            .set("queue.buffering.max.messages", "1000000");
        if options.idempotence {
            config.set("enable.idempotence", "true");
        } else {
            config.set("message.send.max.retries", "0");
        }
        config
    }

    fn subscribing(&self, group: &str, payload_max: usize) -> ClientConfig {
        let mut config = link::config(&self.servers);
        let commits = self.options.consumer == KafkaConsumer::Group;
        config
            .set("group.id", group)
            .set("allow.auto.create.topics", "false")
            .set("enable.auto.commit", commits.to_string())
            .set("auto.commit.interval.ms", self.options.commit_interval.as_millis().max(1).to_string())
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "roundrobin")
            .set("session.timeout.ms", "10000")
            // Members learn by a heartbeat that another one waits for them.
            .set("heartbeat.interval.ms", "200")
            .set("fetch.message.max.bytes", message_max(payload_max).to_string())
            .set("fetch.queue.backoff.ms", "10");
        config
    }

    /// The group of the receivers on a connection. Under fan-out each connection has its own.
    fn group(&self, topology: &Topology, names: &Names, subscriptions: &[Subscription]) -> String {
        let first = subscriptions.first().map_or(0, |one| match topology.delivery_of(one.receiver) {
            scenario::Delivery::FanOut => one.subscriber % topology.subscriber_connections.max(1),
            scenario::Delivery::WorkQueue if topology.audiences.is_empty() => 0,
            // Each audience has a group of its own.
            scenario::Delivery::WorkQueue => topology.first_subscriber_of(one.receiver),
        });
        format!("{}-{first}{}", topology.prefix, names.suffix)
    }
}

/// The longest message for payloads of this length.
fn message_max(payload_max: usize) -> usize {
    USUAL_MESSAGE.max(payload_max + AROUND_PAYLOAD)
}

impl Driver for Kafka {
    type Publisher = KafkaPublisher;
    type Subscriber = KafkaSubscriber;

    fn guarantees(&self) -> Guarantees {
        let options = &self.options;
        let mut deviations =
            vec!["librdkafka writes and reads in threads of its own, and a message counts as sent once it is handed over".to_owned()];
        if options.idempotence {
            deviations.push("librdkafka sends unanswered batches again by itself (idempotence)".to_owned());
        }
        Guarantees {
            delivery: match options.acks {
                KafkaAcks::None => DeliveryGuarantee::AtMostOnce,
                KafkaAcks::Leader | KafkaAcks::All => DeliveryGuarantee::AtLeastOnce,
            },
            acknowledgement: match options.acks {
                KafkaAcks::None => Acknowledgement::None,
                KafkaAcks::All if options.replicas > 1 => Acknowledgement::Quorum,
                KafkaAcks::Leader | KafkaAcks::All => Acknowledgement::Leader,
            },
            fsync: match options.flush {
                KafkaFlush::Os => Durability::Interval,
                KafkaFlush::Always => Durability::Always,
            },
            replicas: options.replicas,
            ordered: true,
            replay: true,
            work_queue: options.consumer == KafkaConsumer::Group,
            patterns: false,
            deviations,
        }
    }

    /// Deletes topics of earlier trials, and makes those of this one under names that were never used.
    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        by_name_only(NAME, topology)?;
        if topology.has_queue() && !self.guarantees().work_queue {
            return Err(fatal("without a group every reader gets every message")
                .remedy("set options.consumer = \"group\""));
        }
        if u64::from(topology.topics) * u64::from(self.options.partitions) > u64::from(KAFKA_PARTITIONS_MAX) {
            return Err(fatal(format!("more than {KAFKA_PARTITIONS_MAX} partitions")).remedy(
                "lower workload.topics or options.partitions: a broker keeps files for each partition",
            ));
        }
        self.accounts.clear();
        let control = self.control().await?;
        let earlier =
            control::earlier(&control, topology).await.map_err(|error| self.library_error(&error))?;
        let generation = 1 + earlier.iter().map(|(generation, _)| *generation).max().unwrap_or(0);
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) = generation;
        let old: Vec<&str> = earlier.iter().map(|(_, name)| name.as_str()).collect();
        control::delete(&control, &old).await.map_err(|error| self.library_error(&error))?;
        let wanted = control::Wanted {
            names: self.names(topology),
            options: &self.options,
            message_max: message_max(topology.payload_max),
        };
        control::create(&control, &self.servers, &wanted).await
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Self::Publisher, DriverError> {
        let reports = Reports::default();
        let made = self
            .publishing(topology.payload_max)
            .create_with_context::<_, ThreadedProducer<Reports>>(reports);
        let producer = made.map_err(|error| fatal(error.to_string()))?;
        control::reachable(&self.control().await?).await.map_err(|error| self.library_error(&error))?;
        let partition = (connection % self.options.partitions) as i32;
        let answers = self.options.acks != KafkaAcks::None;
        let names = self.names(topology).all;
        Ok(KafkaPublisher::new(producer, names, (partition, answers), topology.payload_max))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        let names = self.names(topology);
        let group = self.group(topology, &names, subscriptions);
        let sources = Arc::new(Sources::new(names, self.options.partitions, topology, subscriptions)?);
        control::reachable(&self.control().await?).await.map_err(|error| self.library_error(&error))?;
        let inbox = Arc::new(Inbox::default());
        let config = self.subscribing(&group, topology.payload_max);
        let made = config.create_with_context::<_, BaseConsumer<Watch>>(Watch(Arc::clone(&inbox)));
        let consumer = Arc::new(made.map_err(|error| fatal(error.to_string()))?);
        let in_group = self.options.consumer == KafkaConsumer::Group;
        let accounts = (Arc::clone(&self.accounts), in_group);
        let subscriber =
            KafkaSubscriber::new(Arc::clone(&consumer), Arc::clone(&inbox), Arc::clone(&sources), accounts);
        let wanted = sources.names();
        let joined = if in_group && !wanted.is_empty() {
            consumer.subscribe(&wanted)
        } else {
            let mut all = TopicPartitionList::new();
            for name in &wanted {
                for partition in 0..self.options.partitions {
                    all.add_partition_offset(name, partition as i32, Offset::Beginning)
                        .map_err(|error| fatal(error.to_string()))?;
                }
            }
            consumer.assign(&all)
        };
        joined.map_err(|error| self.library_error(&error))?;
        let waits = in_group && !wanted.is_empty();
        reader::start(consumer, Arc::clone(&inbox), Arc::clone(&sources))?;
        if waits {
            let assigned = timeout(SETUP_LIMIT, inbox.assigned()).await;
            assigned.map_err(|_| {
                disconnected(format!("no partitions were handed out within {SETUP_LIMIT:?}"))
            })??;
        }
        Ok(subscriber)
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        let (control, names) = (self.control().await?, self.names(topology));
        let ends = control::ends(&control, &names, self.options.partitions).await;
        let ends = ends.map_err(|error| self.library_error(&error))?;
        let mut left = Leftovers::default();
        for receiver in 0..topology.receivers() {
            for topic in topology.topics_of_receiver(receiver) {
                for partition in 0..self.options.partitions {
                    let (first, end) = ends[(topic.0 * self.options.partitions + partition) as usize];
                    let done = self.accounts.of(receiver, topic, partition);
                    left.pending += end.saturating_sub(done.max(first)).max(0) as u64;
                    left.discarded += first.saturating_sub(done).max(0) as u64;
                }
            }
        }
        Ok(Some(left))
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        let names = self.names(topology);
        let all: Vec<&str> = names.all.iter().map(String::as_str).collect();
        control::delete(&self.control().await?, &all).await.map_err(|error| self.library_error(&error))
    }
}
