//! Asks a node for the map of the cluster.

use super::NAME;
use super::slots::SlotMap;
use crate::driver::DriverError;
use crate::driver::redis::{Address, disconnected, exchange, fatal, open};
use crate::driver::socket::Place;
use crate::wire::resp::{Reply, append_command};

/// Bytes that a map may take at most; a cluster has at most a range for each slot.
const MAP_BYTES: usize = 4 << 20;

/// The map as the node at `address` has it.
pub(super) async fn fetch(address: &Address) -> Result<SlotMap, DriverError> {
    let mut socket = open(address, MAP_BYTES).await?;
    let mut question = Vec::new();
    append_command(&mut question, &[b"CLUSTER", b"SLOTS"]);
    let mut map = None;
    exchange(&mut socket, &question, |reply, _| {
        match reply {
            Reply::Array(answer) => map = SlotMap::read(answer, host_of(address)),
            Reply::Error(text) => {
                let text = String::from_utf8_lossy(text);
                return Err(fatal(NAME, format!("{} is no node of a cluster: {text}", address.place))
                    .remedy("start one with broker = { nodes = 3 }, or take the driver redis-pubsub"));
            }
            _ => {}
        }
        Ok(true)
    })
    .await?;
    map.ok_or_else(|| fatal(NAME, format!("{} answers CLUSTER SLOTS with no map", address.place)))
}

/// The map as the first of these nodes has it that answers, and who that was.
pub(super) async fn fetch_any(seeds: &[Address]) -> Result<(&Address, SlotMap), DriverError> {
    let mut failed = disconnected(NAME, "there is no node to ask");
    for seed in seeds {
        match fetch(seed).await {
            Ok(map) => return Ok((seed, map)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The host that an address names.
pub(super) fn host_of(address: &Address) -> &str {
    match &address.place {
        Place::Tcp(host, _) => host,
        Place::Unix(_) => "127.0.0.1",
    }
}
