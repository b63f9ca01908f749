//! The control thread of a trial: brings its threads up, sets the start, watches, drains, and takes it all
//! down again. Every wait in here has a limit.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::watch::Sender;

use super::conclude::{Remains, conclude};
use super::happening::{Ask, ask};
use super::publishing::{self, PublishingReport};
use super::setup::Setup;
use super::signal::{Listener, Stage};
use super::subscribing::{self, SubscribingReport};
use super::watch::{Watch, Watched};
use super::{TrialError, TrialOutcome, TrialPlan};
use crate::clock::{Clock, unix_nanos};
use crate::driver::{Driver, DriverError};
use crate::measure::{Hiccups, INTERVAL, Live, Timeline};
use crate::prng::mix;
use crate::target::Broker;

/// Creating streams and consumers may take this long.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);

/// Opening all connections and subscriptions may take this long.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A last question to the broker may take this long.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(5);

/// The start of a trial is set this far ahead, so that every thread has heard of it.
const START_AHEAD: u64 = 10_000_000;

/// A thread of a trial.
type Thread<T> = JoinHandle<Result<T, DriverError>>;

/// Runs one trial from `prepare` to `tear_down`.
pub(super) async fn control<D: Driver>(
    driver: &D,
    plan: &TrialPlan<'_>,
    broker: &mut Broker,
    live: &mut dyn FnMut(&Live<'_>) -> bool,
) -> Result<TrialOutcome, TrialError> {
    let guarantees = driver.guarantees();
    let clock = Clock::real();
    let nonce = mix(plan.seed ^ unix_nanos());
    let setup = Arc::new(Setup::new(plan.scenario, plan.target, &guarantees, (clock, plan.seed), nonce));
    limit("preparing the broker", PREPARE_WITHIN, driver.prepare(&setup.topology)).await??;
    let hiccups = Hiccups::start(&setup.clock, cores())?;
    let (stage, listener) = Listener::pair();
    let mut timeline = Timeline::new(INTERVAL, setup.answers);
    let threads = match Threads::start(driver, &setup, &mut timeline, &listener).await {
        Ok(threads) => threads,
        Err(error) => {
            stage.send_replace(Stage::Stop);
            return Err(error);
        }
    };
    let before = broker.counters().await.unwrap_or_default();
    let started = (setup.clock.now(), unix_nanos());
    let asked = ask(driver, &setup);
    let watched = watch((&setup, plan, asked), (&mut timeline, &hiccups), (broker, live), &stage).await;
    let joined = threads.join(&stage)?;
    let leftovers = last_word(driver.leftovers(&setup.topology)).await.flatten().unwrap_or_default();
    let after = last_word(async { broker.counters().await }).await;
    let _gone_already = last_word(driver.tear_down(&setup.topology)).await;
    let remains = Remains {
        setup: &setup,
        plan,
        guarantees,
        watched,
        collected: timeline.finish(),
        publishing: joined.0,
        subscribing: joined.1,
        leftovers,
        remarks: driver.remarks(),
        counters: (before, after),
        hiccups: hiccups.stop(),
        started,
        ended: (setup.clock.now(), unix_nanos()),
    };
    Ok(conclude(remains, broker))
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Waits for an answer that nothing depends on; a broker that is gone gives none.
async fn last_word<T, E>(answer: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::time::timeout(LAST_WORD_WITHIN, answer).await.ok()?.ok()
}

/// Waits with a limit.
async fn limit<T>(
    what: &'static str,
    within: Duration,
    future: impl Future<Output = T>,
) -> Result<T, TrialError> {
    tokio::time::timeout(within, future)
        .await
        .map_err(|_elapsed| TrialError::TimedOut { what, seconds: within.as_secs() })
}

/// Sets the start and watches until everything that can arrive has arrived.
async fn watch(
    (setup, plan, asked): (&Arc<Setup>, &TrialPlan<'_>, Ask),
    records: (&mut Timeline, &Hiccups),
    (broker, live): (&mut Broker, &mut dyn FnMut(&Live<'_>) -> bool),
    stage: &Sender<Stage>,
) -> Watched {
    let start = setup.clock.now() + START_AHEAD;
    stage.send_replace(Stage::Go(start));
    let mut watch = Watch::new(setup, plan, records, asked, start);
    watch.sending(broker, live).await;
    stage.send_replace(Stage::Drain);
    watch.draining(broker, live).await;
    watch.end(broker).await
}

/// All threads of a trial.
struct Threads {
    publishing: Vec<Thread<PublishingReport>>,
    subscribing: Vec<Thread<SubscribingReport>>,
}

impl Threads {
    /// Starts subscribing threads, then publishing ones, and waits until all their connections are open.
    async fn start<D: Driver>(
        driver: &D,
        setup: &Arc<Setup>,
        timeline: &mut Timeline,
        listener: &Listener,
    ) -> Result<Self, TrialError> {
        let cores = cores();
        let half = (cores / 2).max(1);
        let places = subscribing::place(&setup.topology, half);
        let shares = places.into_iter().map(|connections| {
            let receivers = subscribing::receivers_on(setup, &connections).len();
            subscribing::Share { connections, recorder: timeline.delivery_recorder(receivers) }
        });
        let subscribing = spawn_all(shares, |index, share, ready| {
            let name = format!("subscribe-{index}");
            subscribing::spawn(name, driver.clone(), Arc::clone(setup), share, (listener.clone(), ready))
        })
        .await?;
        let connections = setup.topology.publisher_connections;
        let threads = half.min(connections as usize);
        let shares = (0..threads).map(|index| publishing::Share {
            connections: (index as u32..connections).step_by(threads).collect(),
            spin: index + 1 < cores,
            recorder: timeline.publish_recorder(),
        });
        let publishing = spawn_all(shares, |index, share, ready| {
            let name = format!("publish-{index}");
            publishing::spawn(name, driver.clone(), Arc::clone(setup), share, (listener.clone(), ready))
        })
        .await?;
        Ok(Self { publishing, subscribing })
    }

    /// Tells all threads to leave and collects what they have.
    fn join(
        self,
        stage: &Sender<Stage>,
    ) -> Result<(Vec<PublishingReport>, Vec<SubscribingReport>), TrialError> {
        stage.send_replace(Stage::Stop);
        Ok((join_all(self.publishing)?, join_all(self.subscribing)?))
    }
}

/// Starts one thread per share and waits until each says that it is ready.
async fn spawn_all<S, T>(
    shares: impl IntoIterator<Item = S>,
    spawn: impl Fn(usize, S, mpsc::Sender<Result<(), DriverError>>) -> io::Result<Thread<T>>,
) -> Result<Vec<Thread<T>>, TrialError> {
    let (ready, mut heard) = mpsc::channel(1);
    let threads = shares
        .into_iter()
        .enumerate()
        .map(|(index, share)| spawn(index, share, ready.clone()))
        .collect::<io::Result<Vec<_>>>()?;
    drop(ready);
    for _ in &threads {
        let word = limit("opening all connections", READY_WITHIN, heard.recv()).await?;
        word.ok_or_else(|| io::Error::other("a thread ended before it was ready"))??;
    }
    Ok(threads)
}

/// Collects the reports of threads that were told to leave.
fn join_all<T>(threads: Vec<Thread<T>>) -> Result<Vec<T>, TrialError> {
    threads
        .into_iter()
        .map(|thread| match thread.join() {
            Ok(report) => report.map_err(TrialError::from),
            Err(_panic) => Err(TrialError::Harness(io::Error::other("a thread of the trial panicked"))),
        })
        .collect()
}
