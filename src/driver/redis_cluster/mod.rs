//! `redis-cluster`: Pub/Sub on a Redis Cluster. [`ClassicCluster`] uses PUBLISH and SUBSCRIBE, which every node
//! passes on to all others: connections are spread over the nodes. [`ShardedCluster`] uses SPUBLISH and SSUBSCRIBE:
//! each topic lives on the node that serves its slot, and a connection of the harness has a socket to each node it
//! needs.
//!
//! Slots may move while a trial runs. A message that a node refuses with MOVED is handed to the node it names,
//! and a subscription that a node gives up with its slot is made again where the slot went; both are counted, and
//! told with the result.

mod lane;
mod map;
mod publisher;
mod slots;
mod subscriber;

pub use publisher::ShardedPublisher;
pub use subscriber::ShardedSubscriber;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::timeout;

use super::redis::{self, Address, Verb, WirePublisher, exchange, open};
use super::redis_pubsub::WireSubscriber;
use super::socket::{SETUP_LIMIT, Socket};
use super::{
    Acknowledgement, DeliveryGuarantee, Driver, DriverError, Durability, ErrorKind, Guarantees, Leftovers,
    by_name_only,
};
use crate::scenario::{Subscription, Topology};
use crate::wire::resp::{Reply, append_command};

/// Name of the driver in errors and results.
const NAME: &str = "redis-cluster";

/// The channel of the marks that [`fence`] waits for.
const FENCE: &[u8] = b"busmark-fence";

/// How long a mark is waited for before it is sent again.
const FENCE_AGAIN: Duration = Duration::from_millis(250);

/// What happened on the way, counted by all connections of a trial.
#[derive(Debug, Default)]
struct Happened {
    /// Messages that a node refused because their slot had moved, handed to the node it named.
    redirected: AtomicU64,
    /// Messages that a node sent on with ASK while their slot was between two nodes.
    asked: AtomicU64,
    /// Subscriptions that were made again where their slot went.
    resubscribed: AtomicU64,
    /// Publishing sockets that broke.
    broken: AtomicU64,
}

impl Happened {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn remarks(&self) -> Vec<String> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = [
            (read(&self.redirected), "messages were refused with MOVED and handed to the node it named"),
            (read(&self.asked), "messages were sent on with ASK to the node that was taking their slot over"),
            (
                read(&self.resubscribed),
                "subscriptions were made again on another node, where their slot went",
            ),
            (
                read(&self.broken),
                "publishing sockets to a node broke; what it had not answered is unknown, and \
              messages for it are rejected until it is back",
            ),
        ];
        all.into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect()
    }
}

/// What Pub/Sub on a cluster promises; shard channels are known by name only.
fn guarantees(patterns: bool) -> Guarantees {
    Guarantees {
        delivery: DeliveryGuarantee::AtMostOnce,
        acknowledgement: Acknowledgement::Reply,
        fsync: Durability::Never,
        replicas: 1,
        ordered: true,
        replay: false,
        work_queue: false,
        patterns,
        deviations: Vec::new(),
    }
}

/// Asks for the map, and whether the cluster can carry this traffic.
async fn prepare(seeds: &Seeds, topology: &Topology) -> Result<Vec<Address>, DriverError> {
    if topology.has_queue() {
        let what = "Pub/Sub hands every message to every subscriber; it has no work queue";
        return Err(redis::fatal(NAME, what).remedy(
            "set workload.delivery = \"fan_out\", or take a driver with work queues (redis-streams, jetstream)",
        ));
    }
    if !map::fetch(&seeds.named).await?.is_whole() {
        return Err(redis::fatal(NAME, "not every slot of the cluster is served"));
    }
    seeds.learn().await
}

/// Where the cluster is: the node that the URL names, and all that were there when it was prepared, so that one that
/// is gone by then is no reason not to find the others.
#[derive(Debug, Clone)]
struct Seeds {
    named: Address,
    known: Arc<OnceLock<Vec<Address>>>,
}

impl Seeds {
    fn parse(url: &str) -> Result<Self, DriverError> {
        Ok(Self { named: Address::parse(NAME, url)?, known: Arc::default() })
    }

    /// Whom to ask, the node of the URL first.
    fn all(&self) -> Vec<Address> {
        let known = self.known.get().into_iter().flatten();
        std::iter::once(&self.named).chain(known).cloned().collect()
    }

    /// All nodes that the cluster's map names; the one that was asked where it names none.
    async fn nodes(&self) -> Result<Vec<Address>, DriverError> {
        let seeds = self.all();
        let (seed, map) = map::fetch_any(&seeds).await?;
        let nodes: Vec<Address> = map.nodes.iter().map(|node| seed.of_node(&node.host, node.port)).collect();
        Ok(if nodes.is_empty() { vec![seed.clone()] } else { nodes })
    }

    /// Remembers the nodes, and gives them.
    async fn learn(&self) -> Result<Vec<Address>, DriverError> {
        let nodes = self.nodes().await?;
        Ok(self.known.get_or_init(|| nodes.clone()).clone())
    }

    /// The nodes that answer.
    async fn living(&self) -> Result<Vec<Address>, DriverError> {
        let mut living = Vec::new();
        for node in self.nodes().await? {
            match open(&node, 0).await {
                Ok(_) => living.push(node),
                Err(error) if error.kind == ErrorKind::Disconnected => {}
                Err(error) => return Err(error),
            }
        }
        if living.is_empty() {
            Err(redis::disconnected(NAME, "no node of the cluster answers"))
        } else {
            Ok(living)
        }
    }
}

/// The one of `nodes` that a connection with this number speaks to.
fn node_of(nodes: &[Address], number: u32) -> &Address {
    &nodes[number as usize % nodes.len()]
}

/// Waits until every node has what was published on any of them before: nodes pass messages on to each other in
/// order, and answer the publisher without waiting for that. Between nodes that have not met yet a message is lost
/// without a word, so each node's mark is sent again until all have heard it.
async fn fence(nodes: &[Address]) -> Result<(), DriverError> {
    let mut ears = Vec::new();
    let mut mouths = Vec::new();
    for node in nodes {
        let mut ear = open(node, 0).await?;
        exchange(&mut ear, &command(&[b"SUBSCRIBE", FENCE]), |_, _| Ok(true)).await?;
        ears.push((ear, BTreeSet::from_iter(0..nodes.len())));
        mouths.push(open(node, 0).await?);
    }
    let heard = async {
        while ears.iter().any(|(_, missing)| !missing.is_empty()) {
            for (number, mouth) in mouths.iter_mut().enumerate() {
                let mark = number.to_string();
                exchange(mouth, &command(&[b"PUBLISH", FENCE, mark.as_bytes()]), |_, _| Ok(true)).await?;
            }
            for (ear, missing) in ears.iter_mut().filter(|(_, missing)| !missing.is_empty()) {
                listen(ear, missing).await?;
            }
        }
        Ok(())
    };
    let silent = || redis::fatal(NAME, format!("nodes do not hear each other within {SETUP_LIMIT:?}"));
    timeout(SETUP_LIMIT, heard).await.unwrap_or_else(|_| Err(silent()))
}

/// Strikes from `missing` the nodes whose mark comes within [`FENCE_AGAIN`].
async fn listen(ear: &mut Socket, missing: &mut BTreeSet<usize>) -> Result<(), DriverError> {
    let listening = exchange(ear, &[], |reply, _| {
        if let Reply::Message { payload, .. } = reply {
            missing.retain(|number| number.to_string().as_bytes() != payload);
        }
        Ok(missing.is_empty())
    });
    // Nothing is lost with the future: what it read stays in the socket's buffer.
    timeout(FENCE_AGAIN, listening).await.unwrap_or(Ok(()))
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_command(&mut bytes, words);
    bytes
}

/// Classic Pub/Sub on a cluster.
#[derive(Debug, Clone)]
pub struct ClassicCluster {
    seeds: Seeds,
}

impl ClassicCluster {
    /// The cluster of which a node is at `url`.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str) -> Result<Self, DriverError> {
        Ok(Self { seeds: Seeds::parse(url)? })
    }
}

impl Driver for ClassicCluster {
    type Publisher = WirePublisher;
    type Subscriber = WireSubscriber;

    fn guarantees(&self) -> Guarantees {
        guarantees(true)
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        fence(&prepare(&self.seeds, topology).await?).await
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Self::Publisher, DriverError> {
        let nodes = self.seeds.living().await?;
        Ok(WirePublisher::new(open(node_of(&nodes, connection), 0).await?, topology, Verb::Publish))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        // What was answered before is on its way between the nodes; who joins now is not meant to get it.
        let nodes = self.seeds.living().await?;
        fence(&nodes).await?;
        // One node further than the publishers of the same number, so that messages cross the cluster.
        let number = subscriptions.first().map_or(0, |one| one.subscriber + 1);
        let socket = open(node_of(&nodes, number), topology.payload_max).await?;
        WireSubscriber::subscribe(socket, topology, subscriptions).await
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }
}

/// Sharded Pub/Sub on a cluster.
#[derive(Debug, Clone)]
pub struct ShardedCluster {
    seeds: Seeds,
    happened: Arc<Happened>,
}

impl ShardedCluster {
    /// The cluster of which a node is at `url`.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str) -> Result<Self, DriverError> {
        Ok(Self { seeds: Seeds::parse(url)?, happened: Arc::default() })
    }
}

impl Driver for ShardedCluster {
    type Publisher = ShardedPublisher;
    type Subscriber = ShardedSubscriber;

    fn guarantees(&self) -> Guarantees {
        guarantees(false)
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        by_name_only(NAME, topology)?;
        prepare(&self.seeds, topology).await.map(drop)
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Self::Publisher, DriverError> {
        ShardedPublisher::open(&self.seeds.all(), topology, Arc::clone(&self.happened)).await
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        ShardedSubscriber::open(self.seeds.all(), topology, subscriptions, Arc::clone(&self.happened)).await
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }

    fn remarks(&self) -> Vec<String> {
        self.happened.remarks()
    }
}
