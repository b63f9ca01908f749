//! Bytes to protocol values and back, no sockets, no clock; shared by drivers and engines.

pub mod nats;
pub mod resp;
