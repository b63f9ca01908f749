//! NATS core and JetStream, through two clients behind one seam: [`wire`] builds and parses frames itself and
//! shows what the server can do; [`library`] goes through the `async-nats` crate and shows what an application
//! sees. Streams and consumers are always created, asked and deleted through the library.

mod ack;
mod address;
mod control;
mod demand;
pub mod library;
mod ordered;
mod subjects;
mod unacknowledged;
pub mod wire;

use async_nats::{ConnectOptions, ServerAddr};

use super::{Acknowledgement, DeliveryGuarantee, DriverError, Durability, Guarantees};
use crate::scenario::{AckPolicy, ConsumerKind, JetstreamOptions, Storage, Sync};

/// Names of the drivers in errors and results.
const CORE: &str = "nats-core";
const JETSTREAM: &str = "jetstream";

/// Servers and credentials of a URL, for whoever asks a server something else than the drivers do.
///
/// # Errors
/// `Fatal` if the URL is none.
pub fn connect_options(url: &str) -> Result<(ConnectOptions, Vec<ServerAddr>), DriverError> {
    Ok(address::Address::parse(CORE, url)?.library())
}

/// What NATS core promises: nothing is kept and nobody answers.
fn core_guarantees(deviations: Vec<String>) -> Guarantees {
    Guarantees {
        delivery: DeliveryGuarantee::AtMostOnce,
        acknowledgement: Acknowledgement::None,
        fsync: Durability::Never,
        replicas: 1,
        ordered: true,
        replay: false,
        work_queue: true,
        patterns: true,
        deviations,
    }
}

/// What JetStream promises under these options.
fn jetstream_guarantees(options: &JetstreamOptions, mut deviations: Vec<String>) -> Guarantees {
    if options.storage == Storage::File && options.replicas > 1 && options.sync == Sync::Always {
        deviations.push("the server flushes replicated streams after the acknowledgement".to_owned());
    }
    Guarantees {
        delivery: match (options.ack, options.consumer) {
            // What is missing is asked for again.
            (_, ConsumerKind::Ordered) => DeliveryGuarantee::AtLeastOnce,
            (AckPolicy::None, _) => DeliveryGuarantee::AtMostOnce,
            (AckPolicy::All | AckPolicy::Explicit, _) => DeliveryGuarantee::AtLeastOnce,
        },
        acknowledgement: match options.replicas {
            0 | 1 => Acknowledgement::Leader,
            _ => Acknowledgement::Quorum,
        },
        fsync: match (options.storage, options.sync) {
            (Storage::Memory, _) => Durability::Never,
            (Storage::File, Sync::Interval(_)) => Durability::Interval,
            (Storage::File, Sync::Always) => Durability::Always,
        },
        replicas: options.replicas.max(1),
        ordered: true,
        replay: true,
        work_queue: options.consumer != ConsumerKind::Ordered,
        patterns: true,
        deviations,
    }
}
