//! The subscribing side of sharded Pub/Sub: SSUBSCRIBE on each node that serves one of the topics' slots, and again
//! elsewhere when a node gives a slot away.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::map::fetch_any;
use super::slots::{Node, slot_of};
use super::{Happened, NAME};
use crate::driver::redis::{Address, Readers, broken, disconnected, exchange, fatal, open};
use crate::driver::socket::{SETUP_LIMIT, Socket};
use crate::driver::{AckToken, Delivery, DriverError, ErrorKind, Subscriber};
use crate::scenario::{Subscription, Topology};
use crate::wire::resp::{Items, Reply, append_command, scan};

/// How often the map is asked for while a slot is between two nodes.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The subscriptions on one node.
#[derive(Debug)]
struct Branch {
    node: Node,
    socket: Socket,
    /// Messages that came between the confirmations.
    early: Vec<u8>,
    /// Bytes that came with the last confirmation wait in the read buffer.
    unseen: bool,
}

type Moving = Pin<Box<dyn Future<Output = Result<Vec<Branch>, DriverError>>>>;

/// A subscribing connection: a socket to each node that serves one of its topics.
pub struct ShardedSubscriber {
    seeds: Vec<Address>,
    payload_max: usize,
    readers: Readers,
    branches: Vec<Branch>,
    /// The branch that is looked at first, so that none is forgotten.
    turn: usize,
    /// Subscriptions being made again where their slots went.
    moving: Option<Moving>,
    /// Channels whose node gave up their slot, and nobody looked for yet.
    homeless: Vec<String>,
    happened: Arc<Happened>,
}

impl std::fmt::Debug for ShardedSubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { branches, homeless, moving, .. } = self;
        write!(
            f,
            "ShardedSubscriber {{ {branches:?}, homeless: {homeless:?}, moving: {} }}",
            moving.is_some()
        )
    }
}

impl ShardedSubscriber {
    pub(super) async fn open(
        seeds: Vec<Address>,
        topology: &Topology,
        subscriptions: &[Subscription],
        happened: Arc<Happened>,
    ) -> Result<Self, DriverError> {
        let readers = Readers::new(NAME, topology, subscriptions)?;
        let payload_max = topology.payload_max;
        let branches = subscribe(seeds.clone(), payload_max, readers.channels()).await?;
        Ok(Self {
            seeds,
            payload_max,
            readers,
            branches,
            turn: 0,
            moving: None,
            homeless: Vec::new(),
            happened,
        })
    }

    /// Hands over what the next branch has that has something; `Ready` after one read at most.
    fn poll_branches(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Delivery<'_>),
    ) -> Poll<Result<(), DriverError>> {
        let count = self.branches.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Self { branches, readers, homeless, .. } = self;
            let branch = &mut branches[index];
            let early = std::mem::take(&mut branch.early);
            if early.is_empty() && !std::mem::take(&mut branch.unseen) {
                match branch.socket.poll_read(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(&branch.node, error))),
                    Poll::Pending => continue,
                }
            }
            self.turn = index + 1;
            if !early.is_empty() {
                return Poll::Ready(messages(readers, homeless, &early, each).1);
            }
            let (understood, result) = messages(readers, homeless, branch.socket.unread(), each);
            branch.socket.consume(understood);
            return Poll::Ready(result);
        }
        Poll::Pending
    }

    /// Looks after channels whose slots have moved; wakes the task once they have a home.
    fn poll_moving(&mut self, cx: &mut Context<'_>) -> Result<(), DriverError> {
        loop {
            if self.moving.is_none() && !self.homeless.is_empty() {
                let channels = std::mem::take(&mut self.homeless);
                let known = self.seeds[0].clone();
                let of_branch = |branch: &Branch| known.of_node(&branch.node.host, branch.node.port);
                let seeds = self.branches.iter().map(of_branch).chain(self.seeds.iter().cloned()).collect();
                let (payload_max, happened) = (self.payload_max, Arc::clone(&self.happened));
                self.moving = Some(Box::pin(async move {
                    let count = channels.len() as u64;
                    let branches = subscribe(seeds, payload_max, channels).await?;
                    Happened::add(&happened.resubscribed, count);
                    Ok(branches)
                }));
            }
            let Some(moving) = &mut self.moving else { return Ok(()) };
            let Poll::Ready(branches) = moving.as_mut().poll(cx) else { return Ok(()) };
            self.moving = None;
            self.branches.extend(branches?);
        }
    }
}

impl Subscriber for ShardedSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            self.poll_moving(cx)?;
            self.poll_branches(cx, each)
        })
        .await
    }

    /// Pub/Sub knows no acks.
    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }
}

/// Hands over the whole messages that `bytes` begins with, and notes the channels that a node gave up; how many
/// bytes they took.
fn messages(
    readers: &Readers,
    homeless: &mut Vec<String>,
    bytes: &[u8],
    each: &mut impl FnMut(Delivery<'_>),
) -> (usize, Result<(), DriverError>) {
    let mut understood = 0;
    let end = loop {
        match scan(&bytes[understood..]) {
            Ok(Some((Reply::ShardMessage { channel, payload }, length))) => {
                match readers.delivery(channel, payload) {
                    Ok(delivery) => each(delivery),
                    Err(stray) => break Err(stray),
                }
                understood += length;
            }
            Ok(Some((Reply::Array(items) | Reply::Push(items), length))) => {
                match given_up(items) {
                    Some(channel) => homeless.push(channel),
                    None => break Err(fatal(NAME, "a node sends a subscriber what is no message")),
                }
                understood += length;
            }
            Ok(None) => break Ok(()),
            Ok(Some((Reply::Error(text), _))) => break Err(refused(text)),
            Ok(Some(_)) => break Err(fatal(NAME, "a node sends a subscriber what is no message")),
            Err(error) => break Err(broken(NAME, error)),
        }
    };
    (understood, end)
}

/// The channel of an unasked-for `sunsubscribe`: its slot went to another node.
fn given_up(mut items: Items<'_>) -> Option<String> {
    match (items.next()?, items.next()?) {
        (Reply::Bulk(b"sunsubscribe"), Reply::Bulk(channel)) => {
            Some(String::from_utf8_lossy(channel).into_owned())
        }
        _ => None,
    }
}

/// Subscribes to channels on the nodes that serve their slots. While a slot is between two nodes, asks again.
async fn subscribe(
    seeds: Vec<Address>,
    payload_max: usize,
    channels: Vec<String>,
) -> Result<Vec<Branch>, DriverError> {
    let mut branches = Vec::new();
    let mut missing = channels;
    let mut ticks = tokio::time::interval(ASK_EVERY);
    let looking = async {
        while !missing.is_empty() {
            ticks.tick().await;
            let left = std::mem::take(&mut missing);
            missing = round(&seeds, payload_max, left, &mut branches).await?;
        }
        Ok(())
    };
    match timeout(SETUP_LIMIT, looking).await {
        Ok(done) => done.map(|()| branches),
        Err(_) => Err(disconnected(NAME, format!("no node took all subscriptions within {SETUP_LIMIT:?}"))),
    }
}

/// One round over the map; the channels that found no home.
async fn round(
    seeds: &[Address],
    payload_max: usize,
    channels: Vec<String>,
    branches: &mut Vec<Branch>,
) -> Result<Vec<String>, DriverError> {
    let (seed, map) = fetch_any(seeds).await?;
    let mut by_node: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut homeless = Vec::new();
    for channel in channels {
        match map.owner(slot_of(channel.as_bytes())) {
            Some(node) => by_node.entry(node).or_default().push(channel),
            None => homeless.push(channel),
        }
    }
    for (index, channels) in by_node {
        let node = map.nodes[index].clone();
        let socket = open(&seed.of_node(&node.host, node.port), payload_max).await?;
        let mut branch = Branch { node, socket, early: Vec::new(), unseen: true };
        let refused = branch.confirm(&channels).await?;
        if refused.len() < channels.len() {
            branches.push(branch);
        }
        homeless.extend(refused);
    }
    Ok(homeless)
}

impl Branch {
    /// Subscribes to channels, one command each since no two slots may share one; those whose slot is somewhere
    /// else by now.
    async fn confirm(&mut self, channels: &[String]) -> Result<Vec<String>, DriverError> {
        let mut commands = Vec::new();
        for channel in channels {
            append_command(&mut commands, &[b"SSUBSCRIBE", channel.as_bytes()]);
        }
        let (mut next, mut elsewhere) = (0, Vec::new());
        let early = &mut self.early;
        exchange(&mut self.socket, &commands, |reply, bytes| {
            match reply {
                Reply::ShardMessage { .. } => {
                    early.extend_from_slice(bytes);
                    return Ok(false);
                }
                Reply::Array(items) | Reply::Push(items) if is_confirmation(items) => {}
                Reply::Error(text)
                    if [&b"MOVED "[..], b"ASK ", b"CLUSTERDOWN"]
                        .iter()
                        .any(|start| text.starts_with(start)) =>
                {
                    elsewhere.extend(channels.get(next).cloned());
                }
                Reply::Error(text) => return Err(refused(text)),
                _ => return Err(fatal(NAME, "a node answers SSUBSCRIBE with something else")),
            }
            next += 1;
            Ok(next == channels.len())
        })
        .await?;
        Ok(elsewhere)
    }
}

fn is_confirmation(mut items: Items<'_>) -> bool {
    items.next() == Some(Reply::Bulk(b"ssubscribe"))
}

fn refused(text: &[u8]) -> DriverError {
    fatal(NAME, format!("a node refuses a subscriber: {}", String::from_utf8_lossy(text)))
}

/// Which node it was whose connection broke, and why that may be.
fn gone(node: &Node, error: DriverError) -> DriverError {
    if error.kind != ErrorKind::Disconnected {
        return error;
    }
    let what = format!("{node}: {}", error.what);
    DriverError { what, ..error }.remedy(
        "a node closes a subscriber without a word when its client-output-buffer-limit for pubsub is exceeded: \
         client_output_buffer_limit_disconnections of INFO tells",
    )
}
