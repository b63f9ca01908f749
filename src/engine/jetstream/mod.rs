//! The JetStream-style engine: a server that NATS clients take for a nats-server 2.11.
//!
//! One thread runs everything to completion: read, parse in place, append to outputs, one write per
//! connection at the end of a tick.

mod accept;
mod access;
mod auth;
mod client;
mod config;
#[cfg(any(test, fuzzing))]
pub mod entries;
mod error;
mod hub;
mod info;
mod lame_duck;
mod monitor;
mod names;
mod operator;
mod output;
mod run;
mod server;
mod session;
mod settings;
mod signal;
mod store;
mod streams;
mod sublist;
mod syncer;

pub use access::{Account, AccountLimits, Permissions, Proof, Responses, Rule, Rules, User};
pub use config::{ConfigError, Request};
pub use error::EngineError;
pub use operator::{Operator, TokenError};
pub use server::{Bound, Stopper};
pub use settings::{
    Credentials, JetStreamSettings, Monitor, Settings, SyncPolicy, TlsFirst, WebSocketSettings,
};
pub use signal::Order;
