//! A subscribing thread: one runtime, several connections, the ledgers of their receivers.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::task::LocalSet;

use super::connection::Connection;
use super::receivers::{Noted, Receivers};
use crate::clock::Nanos;
use crate::driver::{Driver, DriverError, ErrorKind};
use crate::measure::DeliveryRecorder;
pub(super) use crate::trial::publishing::harness_error;
use crate::trial::setup::Setup;
use crate::trial::signal::Listener;

/// Between two looks at ledgers on which nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// What a subscribing thread leaves behind.
#[derive(Debug)]
pub(in crate::trial) struct SubscribingReport {
    /// What its receivers noted.
    pub(in crate::trial) noted: Option<Noted>,
    /// Errors of its connections.
    pub(in crate::trial) errors: Vec<DriverError>,
    /// Messages that client libraries dropped.
    pub(in crate::trial) client_drops: u64,
}

/// Which connections a thread has, and what it records with.
#[derive(Debug)]
pub(in crate::trial) struct Share {
    /// Indices of subscribing connections.
    pub(in crate::trial) connections: Vec<u32>,
    /// Hands over to the timeline.
    pub(in crate::trial) recorder: DeliveryRecorder,
}

/// Starts a thread for `share`; it reports through `ready` once all subscriptions are in force.
///
/// # Errors
/// When the system gives no thread.
pub(in crate::trial) fn spawn<D: Driver>(
    name: String,
    driver: D,
    setup: Arc<Setup>,
    share: Share,
    (listener, ready): (Listener, Sender<Result<(), DriverError>>),
) -> io::Result<JoinHandle<Result<SubscribingReport, DriverError>>> {
    std::thread::Builder::new().name(name).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| harness_error("no runtime", error))?;
        LocalSet::new().block_on(&runtime, run(driver, setup, share, listener, ready))
    })
}

async fn run<D: Driver>(
    driver: D,
    setup: Arc<Setup>,
    share: Share,
    mut listener: Listener,
    ready: Sender<Result<(), DriverError>>,
) -> Result<SubscribingReport, DriverError> {
    let mut open = Vec::new();
    for &connection in &share.connections {
        let subscriptions = setup.topology.subscriptions_on(connection);
        let presence = setup.presence_of(connection);
        if presence.comes_late() {
            open.push((presence, subscriptions, None));
            continue;
        }
        match driver.subscriber(&setup.topology, &subscriptions).await {
            Ok(subscriber) => open.push((presence, subscriptions, Some(subscriber))),
            Err(error) => {
                drop(ready.send(Err(error)).await);
                return Ok(SubscribingReport::empty());
            }
        }
    }
    drop(ready.send(Ok(())).await);
    let Some(start) = listener.start().await else { return Ok(SubscribingReport::empty()) };
    let receivers = Rc::new(RefCell::new(Receivers::new(&setup, &share.connections, share.recorder)));
    let tasks: Vec<_> = open
        .into_iter()
        .map(|(presence, subscriptions, subscriber)| {
            let parts = (driver.clone(), presence);
            let connection = Connection::new((&setup, start), &receivers, parts, subscriptions, subscriber);
            tokio::task::spawn_local(connection.run(listener.clone()))
        })
        .collect();
    let ticking = tokio::task::spawn_local(tick(Rc::clone(&receivers), Arc::clone(&setup), start));
    let mut report = SubscribingReport::empty();
    let mut ended = listener.clone();
    for task in tasks {
        let connection = task.await.map_err(|error| {
            DriverError::new(ErrorKind::Fatal, "harness", format!("a subscribing task failed: {error}"))
        })?;
        report.errors.extend(connection.errors);
        report.client_drops += connection.client_drops;
    }
    // Nothing may come any more, but the ledgers must go on closing what the publishers send.
    ended.stop().await;
    ticking.abort();
    drop(ticking.await);
    let now = setup.clock.now().saturating_sub(start);
    report.noted = Rc::try_unwrap(receivers).ok().map(|receivers| receivers.into_inner().close(now));
    Ok(report)
}

/// Moves the ledgers and the timeline on while nothing comes.
async fn tick(receivers: Rc<RefCell<Receivers>>, setup: Arc<Setup>, start: Nanos) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        receivers.borrow_mut().advance(setup.clock.now().saturating_sub(start));
    }
}

impl SubscribingReport {
    fn empty() -> Self {
        Self { noted: None, errors: Vec::new(), client_drops: 0 }
    }
}
