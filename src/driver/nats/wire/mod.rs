//! Over a plain socket: frames built in place, written together, and parsed in the read buffer.

mod core;
mod jetstream;
mod link;
mod publisher;
mod subscriber;

pub use self::core::{CoreSubscriber, NatsCore};
pub use self::jetstream::Jetstream;
pub use self::publisher::Publisher;
pub use self::subscriber::Subscriber;
