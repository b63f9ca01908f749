//! Control work at the brokers: topics made and deleted, how far their partitions go, and who answers.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataBroker};
use tokio::time::{interval, timeout};

use super::Names;
use super::link::{
    self, Control, SETUP_LIMIT, blocking, disconnected, fatal, metadata, of_library, within_limit,
};
use crate::driver::DriverError;
use crate::scenario::{KafkaAcks, KafkaFlush, KafkaOptions, TopicId, Topology};

/// Topics made or deleted by one request.
const TOGETHER: usize = 500;
/// How often brokers are asked whether all that was made is there.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Topics of earlier trials under the same names, each with its generation.
pub(super) async fn earlier(
    control: &Control,
    topology: &Topology,
) -> Result<Vec<(u32, String)>, KafkaError> {
    let known = metadata(control, SETUP_LIMIT).await?;
    let ours = |name: &str| {
        let (topic, generation) = name.rsplit_once('.')?;
        let ours = topic.starts_with(&topology.prefix);
        Some((generation.parse().ok().filter(|_| ours)?, name.to_owned()))
    };
    Ok(known.topics().iter().filter_map(|topic| ours(topic.name())).collect())
}

/// Deletes topics; those that are gone already are no error.
pub(super) async fn delete(control: &Control, names: &[&str]) -> Result<(), KafkaError> {
    for some in names.chunks(TOGETHER) {
        for result in control.delete_topics(some, &within_limit()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
    }
    Ok(())
}

/// Topics to be made.
pub(super) struct Wanted<'a> {
    pub(super) names: Names,
    pub(super) options: &'a KafkaOptions,
    pub(super) message_max: usize,
}

impl Wanted<'_> {
    fn topic<'a>(&self, name: &'a str, message_max: &'a str) -> NewTopic<'a> {
        let replicas = TopicReplication::Fixed(i32::from(self.options.replicas));
        let topic = NewTopic::new(name, self.options.partitions as i32, replicas)
            .set("max.message.bytes", message_max);
        let majority = self.options.acks == KafkaAcks::All && self.options.replicas > 2;
        let topic = if majority { topic.set("min.insync.replicas", "2") } else { topic };
        if self.options.flush == KafkaFlush::Always { topic.set("flush.messages", "1") } else { topic }
    }
}

/// Makes topics, and waits until every partition has a leader.
pub(super) async fn create(control: &Control, servers: &str, wanted: &Wanted<'_>) -> Result<(), DriverError> {
    let message_max = wanted.message_max.to_string();
    for some in wanted.names.all.chunks(TOGETHER) {
        let topics: Vec<NewTopic<'_>> = some.iter().map(|name| wanted.topic(name, &message_max)).collect();
        let made = control.create_topics(&topics, &within_limit()).await;
        for result in made.map_err(|error| of_library(servers, &error))? {
            if let Err((name, code)) = result {
                return Err(fatal(format!("{servers} does not make the topic {name}: {code}")).remedy(
                    "look at options.replicas and options.partitions, and how many brokers there are",
                ));
            }
        }
    }
    let mut ticks = interval(ASK_EVERY);
    let all_led = async {
        loop {
            match led(control, wanted).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if is_not_yet(&error) => {}
                Err(error) => return Err(of_library(servers, &error)),
            }
            ticks.tick().await;
        }
    };
    let late = |_| disconnected(format!("topics had no leader within {SETUP_LIMIT:?}"));
    timeout(SETUP_LIMIT, all_led).await.map_err(late)?
}

/// Whether a broker does not know yet what the controller has decided.
fn is_not_yet(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownTopicOrPartition};
    let code = error.rdkafka_error_code();
    matches!(code, Some(LeaderNotAvailable | NotLeaderForPartition | UnknownTopicOrPartition))
}

/// Whether each partition of the topics has a leader that knows it: one that was named a moment ago may not, and would drop
/// what asks for no answer. It tells where a partition ends once it does.
async fn led(control: &Control, wanted: &Wanted<'_>) -> Result<bool, KafkaError> {
    let known = metadata(control, SETUP_LIMIT).await?;
    let led = known.topics().iter().filter(|topic| {
        let partitions = topic.partitions();
        wanted.names.without_generation(topic.name()).is_some()
            && partitions.len() == wanted.options.partitions as usize
            && partitions.iter().all(|partition| partition.leader() >= 0)
    });
    if led.count() < wanted.names.all.len() {
        return Ok(false);
    }
    ends(control, &wanted.names, wanted.options.partitions).await.map(|_| true)
}

/// Makes sure that somebody answers.
pub(super) async fn reachable(control: &Control) -> Result<(), KafkaError> {
    metadata(control, SETUP_LIMIT).await.map(|_| ())
}

/// The first offset and that behind the last of each partition, topic by topic.
pub(super) async fn ends(
    control: &Control,
    names: &Names,
    partitions: u32,
) -> Result<Vec<(i64, i64)>, KafkaError> {
    let (control, names) = (Arc::clone(control), names.clone());
    blocking(move || {
        let topics = 0..names.all.len() as u32;
        let all = topics.flat_map(|topic| (0..partitions).map(move |partition| (TopicId(topic), partition)));
        all.map(|(topic, partition)| {
            control.inner().fetch_watermarks(names.of(topic), partition as i32, SETUP_LIMIT)
        })
        .collect()
    })
    .await
}

/// Who answers at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Number of the broker that answered.
    pub broker: i32,
    /// How many brokers it knows.
    pub brokers: usize,
}

/// Asks who is at `url`.
///
/// # Errors
/// In words, if nobody answers within this time.
pub async fn who(url: &str, within: Duration) -> Result<Known, String> {
    let control = ask(url)?;
    let known = metadata(&control, within).await.map_err(|error| error.to_string())?;
    Ok(Known { broker: answered_by(&known, url), brokers: known.brokers().len() })
}

/// The broker that answered at `url`. While the library knows only the address that it was given, it says -1 for it:
/// then it is the one that is said to be there.
fn answered_by(known: &Metadata, url: &str) -> i32 {
    let is_there = |broker: &&MetadataBroker| {
        let place = format!("kafka://{}:{}", broker.host(), broker.port());
        url.split(',').any(|part| part.trim().trim_end_matches('/') == place)
    };
    match known.orig_broker_id() {
        -1 => known.brokers().iter().find(is_there).map_or(-1, MetadataBroker::id),
        number => number,
    }
}

/// The settings in effect of the broker at `url`, those of `names`.
///
/// # Errors
/// In words, if nobody answers within this time.
pub async fn settings(url: &str, within: Duration, names: &[&str]) -> Result<Vec<(String, String)>, String> {
    let control = ask(url)?;
    let known = metadata(&control, within).await.map_err(|error| error.to_string())?;
    let broker = [ResourceSpecifier::Broker(answered_by(&known, url))];
    let told = control.describe_configs(&broker, &within_limit()).await.map_err(|error| error.to_string())?;
    let resource = told.into_iter().next().ok_or("it tells nothing of itself")?;
    let resource = resource.map_err(|code| code.to_string())?;
    let value = |name: &&str| {
        let entry = resource.get(name).filter(|entry| !entry.is_sensitive)?;
        Some(((*name).to_owned(), entry.value.clone()?))
    };
    Ok(names.iter().filter_map(value).collect())
}

fn ask(url: &str) -> Result<Control, String> {
    let servers = link::servers(url).map_err(|error| error.to_string())?;
    link::control(&servers).map_err(|error| error.to_string())
}
