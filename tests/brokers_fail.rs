//! A broker that is killed or paused in the middle of a trial: the run ends in time, keeps what it measured,
//! and says what was lost. On a real Redis and a real nats-server.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can't go on fails, and says if it did not run"
)]

use busmark::clock::Clock;
use busmark::measure::{ReasonCode, TrialRecord};
use busmark::scenario::Scenario;
use busmark::target::{self, Broker, System};
use busmark::trial::{self, TrialPlan};

/// A scenario with one managed target, or `None` (loudly) where its server is missing and this is not CI.
fn scenario(system: System, driver: &str, options: &str, measure: &str) -> Option<Scenario> {
    if target::find(system).is_none() {
        assert!(std::env::var_os("CI").is_none(), "no {} here: type scripts/brokers", system.name());
        eprintln!("NOT RUN: no {} here; type scripts/brokers", system.name());
        return None;
    }
    let text = format!(
        "name = \"fail\"\n[workload]\npayload = \"64B\"\nrate = \"1000/s\"\n[phases]\nwarm_up = \"0s\"\n\
         measure = \"{measure}\"\ndrain = \"2s\"\n[trials]\ncount = 1\n[[target]]\nname = \"broker\"\n\
         driver = \"{driver}\"\nbroker = \"managed\"\n{options}"
    );
    Some(Scenario::parse(&text, "fail", &[]).unwrap())
}

/// Runs the trial, sending the broker these signals once that many seconds of it have passed.
fn run(scenario: &Scenario, signals: &[(f64, &str)]) -> TrialRecord {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = runtime.block_on(Broker::start(&scenario.targets[0])).unwrap();
    let pid = broker.pids()[0];
    let plan =
        TrialPlan { scenario, point: "", target: &scenario.targets[0], trial: 1, seed: 5, unlike: None };
    let mut left = signals.iter().peekable();
    let outcome = trial::run(&runtime, &plan, &mut broker, &mut |live| {
        if let Some((_, name)) = left.next_if(|(second, _)| live.seconds >= *second) {
            signal(pid, name);
        }
        true
    });
    let _it_may_be_dead = runtime.block_on(broker.stop());
    assert!(left.next().is_none(), "not every signal was sent");
    outcome.unwrap().record
}

fn signal(pid: u32, name: &str) {
    let done =
        std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill -{name} {pid}");
}

fn killed(system: System, driver: &str, options: &str) {
    let Some(scenario) = scenario(system, driver, options, "5s") else { return };
    let clock = Clock::real();
    let record = run(&scenario, &[(2.0, "KILL")]);
    let counts = &record.counts;
    assert!(clock.now() < 30_000_000_000, "it took {} ns", clock.now());
    assert!(counts.sent > 1000 && counts.delivered > 1000, "{counts:?}");
    assert!(counts.disconnects > 0, "{counts:?}");
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    assert!(
        record.verdict.reasons.iter().any(|reason| reason.code == ReasonCode::BrokerRestarted),
        "{record:?}"
    );
    assert!(record.notes.iter().any(|note| note.contains("ended in the middle")), "{:?}", record.notes);
}

#[test]
fn a_redis_that_is_killed_ends_the_trial_in_time_with_what_was_measured() {
    killed(System::Redis, "redis-pubsub", "");
}

#[test]
fn a_nats_server_that_is_killed_ends_the_trial_in_time_with_what_was_measured() {
    killed(System::Nats, "nats-core", "");
}

#[test]
fn a_jetstream_server_that_is_killed_ends_the_trial_in_time_with_what_was_measured() {
    killed(System::Nats, "jetstream", "");
}

#[test]
fn half_a_second_of_a_stopped_redis_shows_in_p99_and_every_message_is_still_offered() {
    let Some(scenario) = scenario(System::Redis, "redis-pubsub", "", "10s") else { return };
    let record = run(&scenario, &[(3.0, "STOP"), (3.5, "CONT")]);
    let counts = &record.counts;
    assert_eq!((counts.sent, counts.lost), (10_000, 0), "{counts:?}");
    let p99 = record.latencies.delivery_time.unwrap().p99.unwrap();
    assert!(p99.micros() >= 100_000.0, "p99 {p99} µs hides half a second");
    let answered = record.slowest.iter().filter(|message| message.acked > message.sent);
    assert_eq!(answered.count(), 100, "each of the slowest has its answer's time: {:?}", record.slowest);
}
