//! Starts a contestant's broker, plays one case on it, and takes it away. A broker that can't be had is a
//! failure where the environment says `CI`, and said aloud elsewhere.

use std::io::Write;
use std::time::Duration;

use busmark::driver::{self, Driver, Visitor};
use busmark::scenario::{self, Delivery, Subscribe, Target, Topology};
use busmark::target::{self, Broker, System};
use tokio::time::timeout;

use crate::contestants::{Contestant, Refusal};

/// Longest a case may take, and a single wait inside it.
const CASE: Duration = Duration::from_secs(120);
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// What has not come within this does not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// One thing that every driver promises.
pub(crate) trait Case {
    /// Plays it; the reason if it doesn't apply.
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played;
}

/// Whether a case was played.
pub(crate) enum Played {
    Yes,
    DoesNotApply(&'static str),
}

/// What a case has besides the driver.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) refusal: Refusal,
    /// Whether there is a process that can die.
    pub(crate) has_process: bool,
}

struct Player<'a, C> {
    case: C,
    stage: &'a mut Stage,
    runtime: &'a tokio::runtime::Runtime,
}

impl<C: Case> Visitor for Player<'_, C> {
    type Output = Played;

    fn visit<D: Driver>(self, driver: D) -> Played {
        let Self { case, stage, runtime } = self;
        runtime.block_on(async { timeout(CASE, case.play(driver, stage)).await.expect("no case hangs") })
    }
}

/// Plays `case` with `contestant`.
pub(crate) fn perform<C: Case>(contestant: Contestant, case: C) {
    let Contestant { name, driver, broker, refusal } = contestant;
    let case_name = std::any::type_name::<C>().replace("conformance::", "");
    let target = Target::one(name, driver, broker);
    let managed = matches!(target.broker, scenario::Broker::Managed(_));
    if let Some(system) = System::of_target(&target)
        && managed
        && target::find(system).is_none()
    {
        let missing = format!("{} of {name}: no {} on PATH or in .brokers/", case_name, system.program());
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        return say(&format!("NOT RUN: {missing}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let has_process = target.broker != scenario::Broker::None;
    let broker = runtime.block_on(Broker::start(&target)).unwrap();
    let url = broker.url().to_owned();
    let mut stage = Stage { broker, refusal, has_process };
    let player = Player { case, stage: &mut stage, runtime: &runtime };
    let played = driver::open(&target.driver, &url, player).unwrap();
    runtime.block_on(stage.broker.stop()).unwrap();
    if let Played::DoesNotApply(why) = played {
        say(&format!("does not apply: {case_name} to {name}: {why}"));
    }
}

/// Writes a line that the test harness does not hide.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// One publisher, one subscriber, one topic, small messages: cases change what they are about.
pub(crate) fn topology() -> Topology {
    Topology {
        publishers: 1,
        publisher_connections: 1,
        subscribers: 1,
        subscriber_connections: 1,
        topics: 1,
        subscribe: Subscribe::All,
        delivery: Delivery::FanOut,
        payload_max: 64,
        prefix: "bm".to_owned(),
        ..Topology::default()
    }
}
