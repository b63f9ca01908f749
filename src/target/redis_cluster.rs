//! Makes one cluster of several Redis servers, with plain commands: slots are handed out evenly, the nodes are
//! introduced to each other, and the cluster is there once each of them says so.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, RedisError, cmd};
use tokio::time::timeout;

use super::{System, TargetError};

/// Slots of every Redis cluster.
const SLOTS: u32 = 16_384;

/// How often the nodes are asked whether they know each other.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// One node: where clients reach it, and the port of the cluster's bus.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) url: String,
    pub(super) port: u16,
    pub(super) bus: u16,
}

/// Forms the cluster and waits until all nodes agree on it.
///
/// # Errors
/// `Unreachable` with what a node said, or when they don't agree in time.
pub(super) async fn form(members: &[Member]) -> Result<(), TargetError> {
    let Some(first) = members.first() else { return Ok(()) };
    let failed = |what: String| TargetError::Unreachable { url: first.url.clone(), what };
    let within = System::Redis.ready_within();
    match timeout(within, join(members)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(format!("the cluster can't be formed: {error}"))),
        Err(_) => Err(failed(format!("the nodes did not agree on a cluster within {within:?}"))),
    }
}

async fn join(members: &[Member]) -> Result<(), RedisError> {
    let mut connections = Vec::new();
    for member in members {
        connections.push(Client::open(member.url.as_str())?.get_multiplexed_async_connection().await?);
    }
    let count = members.len() as u32;
    for (index, connection) in (0u32..).zip(&mut connections) {
        let (from, to) = slots(index, count);
        cluster(connection, &["ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await?;
        cluster(connection, &["SET-CONFIG-EPOCH", &(index + 1).to_string()]).await?;
    }
    let (port, bus) = (members[0].port.to_string(), members[0].bus.to_string());
    for connection in connections.iter_mut().skip(1) {
        cluster(connection, &["MEET", "127.0.0.1", &port, &bus]).await?;
    }
    let mut ticks = tokio::time::interval(ASK_EVERY);
    for connection in &mut connections {
        while !agrees(connection, count).await? {
            ticks.tick().await;
        }
    }
    Ok(())
}

async fn cluster(connection: &mut MultiplexedConnection, words: &[&str]) -> Result<(), RedisError> {
    cmd("CLUSTER").arg(words).query_async(connection).await
}

/// Whether a node knows all others and that every slot is served.
async fn agrees(connection: &mut MultiplexedConnection, nodes: u32) -> Result<bool, RedisError> {
    let info: String = cmd("CLUSTER").arg("INFO").query_async(connection).await?;
    let says = |line: &str| info.lines().any(|known| known.trim() == line);
    Ok(says("cluster_state:ok") && says(&format!("cluster_known_nodes:{nodes}")))
}

/// First and last slot of node `index` of `count`, as redis-cli hands them out.
fn slots(index: u32, count: u32) -> (u32, u32) {
    let bound = |index: u32| (f64::from(index) * f64::from(SLOTS) / f64::from(count)).round() as u32;
    (bound(index), bound(index + 1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_handed_out_evenly_and_completely() {
        assert_eq!([0, 1, 2].map(|node| slots(node, 3)), [(0, 5460), (5461, 10922), (10923, 16383)]);
        for count in 1..=16 {
            let mut next = 0;
            for (from, to) in (0..count).map(|node| slots(node, count)) {
                assert_eq!(from, next);
                assert!((to - from + 1).abs_diff(SLOTS / count) <= 1);
                next = to + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
