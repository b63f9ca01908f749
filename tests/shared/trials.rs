//! Trials on real brokers, for the tests of several drivers.

use std::time::Duration;

use busmark::measure::TrialRecord;
use busmark::scenario::{Extent, Rate, Scenario, Target, shipped};
use busmark::target::Broker;
use busmark::trial::{self, TrialPlan};

/// One trial of a target, whose books close.
pub(crate) fn run(scenario: &Scenario, target: &Target) -> TrialRecord {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = runtime.block_on(Broker::start(target)).unwrap();
    let plan = TrialPlan { scenario, point: "", target, trial: 1, seed: 5, unlike: None };
    let outcome = trial::run(&runtime, &plan, &mut broker, &mut |_| true).unwrap();
    runtime.block_on(broker.stop()).unwrap();
    let counts = &outcome.record.counts;
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    outcome.record
}

/// Runs half a second of each target of shipped scenarios, which must deliver all and lose nothing.
pub(crate) fn shipped_lose_nothing(names: &[&str], warm_up: Duration, per_second: f64) {
    for name in names {
        let mut scenario = shipped::find(name).unwrap().scenario(&[]).unwrap();
        scenario.phases.warm_up = warm_up;
        scenario.phases.measure = Extent::Time(Duration::from_millis(500));
        scenario.workload.rate = Rate::PerSecond(per_second);
        for target in &scenario.targets {
            let counts = run(&scenario, target).counts;
            let all = counts.sent > 0 && counts.delivered == counts.expected;
            assert!(all, "{name} {}: {counts:?}", target.name);
            assert_eq!((counts.lost, counts.discarded), (0, 0), "{name} {}: {counts:?}", target.name);
        }
    }
}
