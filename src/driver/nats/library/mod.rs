//! Through the `async-nats` crate: what an application sees.
//!
//! What the library would do behind one's back is taken from it: it never reconnects (a connection that broke
//! stays broken, so that nothing is replayed or resubscribed in silence), and what it drops because a
//! subscription's queue is full is counted.

mod core;
mod jetstream;
pub(super) mod link;
mod outbox;
mod publish;
mod streams;
mod subscribe;

pub use self::core::{CorePublisher, CoreSubscriber, NatsCore};
pub use self::jetstream::Jetstream;
pub use self::publish::Publisher;
pub use self::subscribe::Subscriber;

/// What the library's queues change for every user of it, in words.
const DEVIATIONS: [&str; 2] = [
    "async-nats reads ahead into a queue per subscription: a message counts as received when the library hands \
     it over, not when the socket was read",
    "async-nats drops messages when that queue (65,536) is full; they are counted as client drops",
];

fn deviations() -> Vec<String> {
    DEVIATIONS.map(str::to_owned).to_vec()
}
