//! NATS core and JetStream through the `async-nats` crate: what an application sees.
//!
//! What the library would do behind one's back is taken from it: it never reconnects (a connection that broke
//! stays broken, so that nothing is replayed or resubscribed in silence), and what it drops because a
//! subscription's queue is full is counted.

pub mod core;
pub mod jetstream;
mod link;
mod outbox;
mod streams;
mod subjects;

pub use self::core::NatsCore;
pub use self::jetstream::Jetstream;

/// What the library's queues change for every user of it, in words.
const LIBRARY_DEVIATIONS: [&str; 2] = [
    "async-nats reads ahead into a queue per subscription: a message counts as received when the library hands \
     it over, not when the socket was read",
    "async-nats drops messages when that queue (65,536) is full; they are counted as client drops",
];

fn library_deviations() -> Vec<String> {
    LIBRARY_DEVIATIONS.map(str::to_owned).to_vec()
}
