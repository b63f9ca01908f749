//! A publishing thread: one runtime, one pacer, several connections.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::Sender;
use tokio::task::LocalSet;

use super::connection::{Connection, LaneState, Report, Shared};
use crate::clock::Nanos;
use crate::driver::{Driver, DriverError, ErrorKind};
use crate::load::{Limit, Pacer, PacerHandle, Schedule, SpinMeter};
use crate::measure::{MessageId, PublishRecorder, Silence, Trace, Trail};
use crate::scenario::LaneId;
use crate::trial::payload::Bodies;
use crate::trial::setup::Setup;
use crate::trial::signal::Listener;

/// What a publishing thread leaves behind.
#[derive(Debug)]
pub(in crate::trial) struct PublishingReport {
    /// Errors of its connections.
    pub(in crate::trial) errors: Vec<DriverError>,
    /// Credit that came back without being accounted for.
    pub(in crate::trial) forgiven: u64,
    /// What receivers asked about slow messages, and the answers.
    pub(in crate::trial) traces: Vec<(MessageId, Trace)>,
    /// The longest times without an answer, connection by connection.
    pub(in crate::trial) silences: Vec<Silence>,
    /// Time spun before due times in the measured phase, ns.
    pub(in crate::trial) spun: Nanos,
}

/// Which connections a thread has, whether it may spin, and what it records with.
#[derive(Debug)]
pub(in crate::trial) struct Share {
    /// Indices of publishing connections.
    pub(in crate::trial) connections: Vec<u32>,
    /// Whether its pacer may spin.
    pub(in crate::trial) spin: bool,
    /// Hands over to the timeline.
    pub(in crate::trial) recorder: PublishRecorder,
}

/// Starts a thread for `share`; it reports through `ready` once its connections are open.
///
/// # Errors
/// When the system gives no thread.
pub(in crate::trial) fn spawn<D: Driver>(
    name: String,
    driver: D,
    setup: Arc<Setup>,
    share: Share,
    (listener, ready): (Listener, Sender<Result<(), DriverError>>),
) -> io::Result<JoinHandle<Result<PublishingReport, DriverError>>> {
    std::thread::Builder::new().name(name).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| harness_error("no runtime", error))?;
        LocalSet::new().block_on(&runtime, run(driver, setup, share, listener, ready))
    })
}

/// An error of the harness itself, in the words of a driver's.
pub(in crate::trial) fn harness_error(what: &str, error: io::Error) -> DriverError {
    DriverError::new(ErrorKind::Fatal, "harness", format!("{what}: {error}")).source(error)
}

async fn run<D: Driver>(
    driver: D,
    setup: Arc<Setup>,
    share: Share,
    mut listener: Listener,
    ready: Sender<Result<(), DriverError>>,
) -> Result<PublishingReport, DriverError> {
    let mut publishers = Vec::new();
    for &connection in &share.connections {
        match driver.publisher(&setup.topology, connection).await {
            Ok(publisher) => publishers.push((connection, publisher)),
            Err(error) => {
                drop(ready.send(Err(error)).await);
                return Ok(PublishingReport::empty());
            }
        }
    }
    drop(ready.send(Ok(())).await);
    let Some(start) = listener.start().await else { return Ok(PublishingReport::empty()) };
    let shared = Shared {
        recorder: Rc::new(RefCell::new(share.recorder)),
        trail: Rc::new(RefCell::new(Trail::new(setup.topology.lanes()))),
        meter: Rc::new(SpinMeter::new(start + setup.measure_from)),
        lanes: (0..setup.topology.lanes()).map(|lane| LaneState::of(&setup, LaneId(lane))).collect(),
        setup,
        start,
    };
    let reports = publish(&shared, (&driver, share.spin), publishers, &listener).await?;
    let mut report = PublishingReport::empty();
    report.spun = shared.meter.total();
    for connection in reports {
        report.forgiven += connection.forgiven;
        report.errors.extend(connection.errors);
        report.silences.push(connection.silence);
        report.traces.extend(connection.traces);
    }
    if let Ok(recorder) = Rc::try_unwrap(shared.recorder) {
        recorder.into_inner().finish(shared.setup.clock.now().saturating_sub(start));
    }
    Ok(report)
}

/// Runs all connections and the pacer to their end.
async fn publish<D: Driver>(
    shared: &Shared,
    (driver, spin): (&D, bool),
    publishers: Vec<(u32, D::Publisher)>,
    listener: &Listener,
) -> Result<Vec<Report>, DriverError> {
    let setup = &shared.setup;
    let workload = &setup.scenario.workload;
    let clock = setup.clock.clone();
    let mut pacer = Pacer::new(clock, shared.start, spin, Rc::clone(&shared.meter));
    let mut tasks = Vec::new();
    for (id, publisher) in publishers {
        let schedule = setup.pace.as_ref().map(|pace| {
            let limit = Limit::of(&setup.scenario.phases, &setup.topology, id);
            Schedule::new(&setup.topology, id, (workload.arrival, pace), limit, setup.seed)
        });
        let handle = schedule.clone().map(|schedule| pacer.add(schedule));
        let bodies = Bodies::new(&workload.fill, workload.payload.max(), setup.seed ^ u64::from(id))
            .map_err(|error| harness_error("the payload can't be made", error))?;
        let connection = Connection::new(shared.clone(), id, (driver.clone(), publisher), schedule, bodies);
        tasks.push(tokio::task::spawn_local(start(connection, handle, shared.clone(), listener.clone())));
    }
    let stopped = {
        let listener = listener.clone();
        move || listener.drains()
    };
    pacer.run(stopped).await.map_err(|error| harness_error("no timer", error))?;
    let mut reports = Vec::new();
    for task in tasks {
        reports.push(task.await.map_err(|error| {
            DriverError::new(ErrorKind::Fatal, "harness", format!("a publishing task failed: {error}"))
        })?);
    }
    Ok(reports)
}

/// Runs one connection from the start of the trial on.
async fn start<D: Driver>(
    connection: Connection<D>,
    pacer: Option<PacerHandle>,
    shared: Shared,
    listener: Listener,
) -> Report {
    let before_start = shared.start.saturating_sub(shared.setup.clock.now());
    if pacer.is_none() {
        tokio::time::sleep(std::time::Duration::from_nanos(before_start)).await;
    }
    connection.run(pacer, listener).await
}

impl PublishingReport {
    fn empty() -> Self {
        Self { errors: Vec::new(), forgiven: 0, traces: Vec::new(), silences: Vec::new(), spun: 0 }
    }
}
