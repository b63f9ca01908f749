//! Streams and groups: deleted, created, and asked what is left, through the `redis` crate.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value, cmd};

use super::accounts::{Account, Accounts, StreamState, discarded};
use super::{NAME, group_of};
use crate::driver::redis::of_library;
use crate::driver::socket::SETUP_LIMIT;
use crate::driver::{DriverError, Leftovers};
use crate::scenario::{TopicId, Topology};
use crate::wire::resp::EntryId;

/// Commands sent together at most.
const PIPELINE: usize = 500;
/// Streams asked about at a time.
const CONCURRENT: usize = 32;

/// Counts the entries behind one, in pieces, without sending any of them.
const COUNT_BEHIND: &str = "
local from, count = '(' .. ARGV[1], 0
while true do
  local part = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 10000)
  count = count + #part
  if #part < 10000 then return count end
  from = '(' .. part[#part][1]
end";

/// A way to a server for control work.
#[derive(Debug, Clone)]
pub(super) struct Control {
    client: Client,
    /// For errors, without secrets.
    place: String,
}

impl Control {
    pub(super) fn new(client: Client, place: String) -> Self {
        Self { client, place }
    }

    /// Deletes the streams of all topics.
    pub(super) async fn delete(&self, topology: &Topology) -> Result<(), DriverError> {
        let names = topics(topology).map(|topic| topology.topic_name(topic));
        self.run(names.map(|name| cmd("UNLINK").arg(name).to_owned())).await
    }

    /// Makes each stream with a group for each receiver that reads it, at its beginning.
    pub(super) async fn create_groups(&self, topology: &Topology) -> Result<(), DriverError> {
        let mut commands = Vec::new();
        for receiver in 0..topology.receivers() {
            let group = group_of(topology, receiver);
            for topic in topology.topics_of_receiver(receiver) {
                commands.push((topology.topic_name(topic), group.clone()));
            }
        }
        // Receivers that share a connection share its group; those that can't are told when they subscribe.
        commands.sort_unstable();
        commands.dedup();
        let create = |(name, group): (String, String)| {
            cmd("XGROUP").arg("CREATE").arg(name).arg(group).arg("0").arg("MKSTREAM").to_owned()
        };
        self.run(commands.into_iter().map(create)).await
    }

    /// What the streams still hold for their receivers, and what they discarded.
    pub(super) async fn leftovers(
        &self,
        topology: &Topology,
        group: bool,
        accounts: &Accounts,
    ) -> Result<Leftovers, DriverError> {
        let connection = self.connect().await?;
        let pairs = (0..topology.receivers()).flat_map(|receiver| {
            topology.topics_of_receiver(receiver).into_iter().map(move |topic| (receiver, topic))
        });
        stream::iter(pairs)
            .map(|(receiver, topic)| {
                let (mut connection, name) = (connection.clone(), topology.topic_name(topic));
                let account = accounts.of(receiver, topic.0);
                let group = group.then(|| group_of(topology, receiver));
                async move { left(&mut connection, &name, group.as_deref(), account).await }
            })
            .buffer_unordered(CONCURRENT)
            .try_fold(Leftovers::default(), async |sum, one| {
                Ok(Leftovers { pending: sum.pending + one.pending, discarded: sum.discarded + one.discarded })
            })
            .await
            .map_err(|error| of_library(NAME, &self.place, error))
    }

    async fn connect(&self) -> Result<MultiplexedConnection, DriverError> {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SETUP_LIMIT))
            .set_response_timeout(Some(SETUP_LIMIT));
        let connected = self.client.get_multiplexed_async_connection_with_config(&limits).await;
        connected.map_err(|error| of_library(NAME, &self.place, error))
    }

    /// Runs commands whose answers say nothing but that they were done.
    async fn run(&self, commands: impl Iterator<Item = redis::Cmd>) -> Result<(), DriverError> {
        let mut connection = self.connect().await?;
        let mut commands = commands.peekable();
        while commands.peek().is_some() {
            let mut pipeline = Pipeline::new();
            for command in commands.by_ref().take(PIPELINE) {
                pipeline.add_command(command);
            }
            let done = pipeline.query_async::<Vec<Value>>(&mut connection).await;
            done.map_err(|error| of_library(NAME, &self.place, error))?;
        }
        Ok(())
    }
}

fn topics(topology: &Topology) -> impl Iterator<Item = TopicId> + use<> {
    (0..topology.topics).map(TopicId)
}

/// What one stream holds for one receiver.
async fn left(
    connection: &mut MultiplexedConnection,
    name: &str,
    group: Option<&str>,
    account: Account,
) -> Result<Leftovers, RedisError> {
    let asked = cmd("XINFO").arg("STREAM").arg(name).query_async(connection).await;
    let info: HashMap<String, Value> = match asked {
        Ok(info) => info,
        // Nothing was ever published there.
        Err(error) if error.to_string().contains("no such key") => return Ok(Leftovers::default()),
        Err(error) => return Err(error),
    };
    let state = StreamState { added: number(&info, "entries-added"), length: number(&info, "length") };
    let (last, pending) = match group {
        Some(group) => group_state(connection, name, group).await?,
        None => (account.last, 0),
    };
    let first = first_entry(&info);
    let available = if state.length == 0 || last >= id(&info, "last-generated-id") {
        0
    } else if first.is_some_and(|first| last < first) {
        state.length
    } else {
        cmd("EVAL").arg(COUNT_BEHIND).arg(1).arg(name).arg(last.to_string()).query_async(connection).await?
    };
    Ok(Leftovers { pending: available + pending, discarded: discarded(state, account, available, pending) })
}

/// The last entry delivered to a group, and how many were delivered and not acknowledged.
async fn group_state(
    connection: &mut MultiplexedConnection,
    name: &str,
    group: &str,
) -> Result<(EntryId, u64), RedisError> {
    let groups: Vec<HashMap<String, Value>> =
        cmd("XINFO").arg("GROUPS").arg(name).query_async(connection).await?;
    let is_it =
        |info: &&HashMap<String, Value>| text(info.get("name")).is_some_and(|name| name == group.as_bytes());
    let found = groups.iter().find(is_it);
    Ok(found.map(|info| (id(info, "last-delivered-id"), number(info, "pending"))).unwrap_or_default())
}

fn number(info: &HashMap<String, Value>, field: &str) -> u64 {
    match info.get(field) {
        Some(Value::Int(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

fn id(info: &HashMap<String, Value>, field: &str) -> EntryId {
    text(info.get(field)).and_then(EntryId::parse).unwrap_or_default()
}

/// The id of the oldest entry that is still there.
fn first_entry(info: &HashMap<String, Value>) -> Option<EntryId> {
    match info.get("first-entry") {
        Some(Value::Array(parts)) => EntryId::parse(text(parts.first())?),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<&[u8]> {
    match value {
        Some(Value::BulkString(bytes)) => Some(bytes),
        Some(Value::SimpleString(text)) => Some(text.as_bytes()),
        _ => None,
    }
}
