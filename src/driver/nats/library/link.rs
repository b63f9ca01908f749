//! One connection that never comes back once it broke.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Event};
use futures_util::StreamExt;
use tokio::sync::watch;

use super::super::address::Address;
use crate::driver::{DriverError, ErrorKind};

/// How long a connection may take to come about, and a question to be answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The library's own default, which the drivers' declared deviations name.
const DEFAULT_CAPACITY: usize = 65_536;

/// Longer than any trial: the library sleeps this long before it would connect again.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the library tells us of a connection from its own tasks.
#[derive(Debug, Default)]
struct Told {
    /// It was connected once: the next attempt means that this broke.
    connected: AtomicBool,
    /// A subscription's queue was full.
    dropped: AtomicBool,
    /// The server's last error, which is often the reason of a disconnect.
    reason: Mutex<Option<String>>,
}

/// A connection, and whether it still is one.
#[derive(Debug)]
pub(in crate::driver::nats) struct Link {
    driver: &'static str,
    client: Client,
    told: Arc<Told>,
    broken: watch::Receiver<bool>,
}

impl Link {
    /// Connects, with the library's own bound on each subscription's queue: what an application gets.
    pub(in crate::driver::nats) async fn connect(
        driver: &'static str,
        url: &str,
    ) -> Result<Self, DriverError> {
        Self::with_capacity(driver, url, DEFAULT_CAPACITY).await
    }

    /// Connects, with room for `capacity` messages in each subscription's queue; room is not memory until it
    /// is used.
    pub(in crate::driver::nats) async fn with_capacity(
        driver: &'static str,
        url: &str,
        capacity: usize,
    ) -> Result<Self, DriverError> {
        let told = Arc::new(Told::default());
        let (broke, broken) = watch::channel(false);
        let (of_delay, of_event) = (Arc::clone(&told), Arc::clone(&told));
        let (options, servers) = Address::parse(driver, url)?.library();
        let options = options
            .name("busmark")
            .connection_timeout(ANSWER_WITHIN)
            .request_timeout(Some(ANSWER_WITHIN))
            .subscription_capacity(capacity)
            .skip_subject_validation(true)
            .ignore_discovered_servers()
            // Asked before every attempt, the first one included. An event would do too, but the library
            // throws events away when there are many of them.
            .reconnect_delay_callback(move |_| {
                if !of_delay.connected.load(Ordering::Relaxed) {
                    return Duration::ZERO;
                }
                broke.send_replace(true);
                NEVER
            })
            .event_callback(move |event| {
                of_event.note(&event);
                std::future::ready(())
            });
        let client = options.connect(servers).await.map_err(|error| {
            DriverError::new(ErrorKind::Disconnected, driver, format!("could not connect: {error}"))
                .remedy("is the server running, and is it a NATS server?")
                .source(error)
        })?;
        told.connected.store(true, Ordering::Relaxed);
        Ok(Self { driver, client, told, broken })
    }

    /// The library's client.
    pub(in crate::driver::nats) fn client(&self) -> &Client {
        &self.client
    }

    /// The driver it serves.
    pub(in crate::driver::nats) fn driver(&self) -> &'static str {
        self.driver
    }

    /// Pends until the connection broke. Cancel-safe.
    pub(in crate::driver::nats) async fn broken(&self) -> DriverError {
        let mut broken = self.broken.clone();
        // The sender lives in the library's options; if it is gone, so is the connection.
        let _gone_means_broken = broken.wait_for(|broken| *broken).await;
        self.disconnected()
    }

    /// Whether the connection broke already.
    pub(in crate::driver::nats) fn is_broken(&self) -> bool {
        *self.broken.borrow() || self.broken.has_changed().is_err()
    }

    /// The error for a broken connection, with the server's reason where it gave one.
    pub(in crate::driver::nats) fn disconnected(&self) -> DriverError {
        let reason = self.told.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let what = match reason {
            Some(reason) => format!("the connection broke: {reason}"),
            None => "the connection broke".to_owned(),
        };
        DriverError::new(ErrorKind::Disconnected, self.driver, what)
    }

    /// Messages that the library read from the socket but threw away, given how many were taken out of its
    /// queues. Exact once those queues are empty.
    pub(in crate::driver::nats) fn dropped(&self, taken: u64) -> u64 {
        if !self.told.dropped.load(Ordering::Relaxed) {
            return 0;
        }
        self.client.statistics().in_messages.load(Ordering::Relaxed).saturating_sub(taken)
    }

    /// Returns once the server has handled everything that was sent on this connection before: it handles a
    /// connection's protocol lines in order, so a message to ourselves comes back after them. (The library's
    /// `flush` only says that they were written.) Takes one message out of the library.
    pub(in crate::driver::nats) async fn barrier(&self) -> Result<(), DriverError> {
        let inbox = self.client.new_inbox();
        let round_trip = async {
            let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|_| self.disconnected())?;
            self.client.publish(inbox, "".into()).await.map_err(|_| self.disconnected())?;
            answers.next().await.ok_or_else(|| self.disconnected())
        };
        tokio::select! {
            answer = tokio::time::timeout(ANSWER_WITHIN, round_trip) => match answer {
                Ok(answer) => answer.map(|_| ()),
                Err(_) => Err(DriverError::new(
                    ErrorKind::Disconnected,
                    self.driver,
                    format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
                )),
            },
            error = self.broken() => Err(error),
        }
    }
}

impl Told {
    fn note(&self, event: &Event) {
        match event {
            Event::SlowConsumer(_) => self.dropped.store(true, Ordering::Relaxed),
            Event::ServerError(error) => {
                *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            Event::Connected
            | Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::ClientError(_) => {}
        }
    }
}
