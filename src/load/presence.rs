//! When a connection is there, and when a subscriber reads: arithmetic on the scenario.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Nanos;
use crate::scenario::{Behaviour, Extent, Scenario};

/// What a connection does at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is opened.
    Come,
    /// It is closed.
    Leave,
    /// It stays open and nothing is read from it.
    Stop,
    /// It is read again.
    Resume,
    /// It is closed, and opened in the other of two systems.
    Move,
}

/// The changes of one connection, in order, at times since the start of the trial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence(VecDeque<(Nanos, Change)>);

impl Presence {
    /// Of the subscriber with a connection of its own; with several on one they are always there.
    #[must_use]
    pub fn of_subscriber(scenario: &Scenario, connection: u32) -> Self {
        let workload = &scenario.workload;
        match scenario.behaviour_of(connection) {
            Some(behaviour) => Self(of_behaviour(behaviour, nanos(scenario.phases.warm_up))),
            None => Self::churning(
                scenario,
                workload.churn.subscribers,
                (connection, workload.subscriber_connections),
            ),
        }
    }

    /// Of a subscriber that moves to another system then, and does nothing else.
    #[must_use]
    pub fn moving(scenario: &Scenario, at: Duration) -> Self {
        Self([(nanos(scenario.phases.warm_up.saturating_add(at)), Change::Move)].into())
    }

    /// Of a publishing connection.
    #[must_use]
    pub fn of_publisher(scenario: &Scenario, connection: u32) -> Self {
        let workload = &scenario.workload;
        Self::churning(scenario, workload.churn.publishers, (connection, workload.publisher_connections))
    }

    /// Connection `place` of `of` is the next to go once all before it were: number n goes at (n + 1) / rate.
    fn churning(scenario: &Scenario, per_second: f64, (place, of): (u32, u32)) -> Self {
        let begin = scenario.phases.warm_up.as_secs_f64();
        let length = match scenario.phases.measure {
            Extent::Time(time) => time.as_secs_f64(),
            Extent::Messages(_) => 0.0,
        };
        let away = nanos(scenario.workload.churn.away);
        let mut changes = VecDeque::new();
        // At a rate of zero the first one goes after an infinite time.
        let time_of = |number: u64| (number + 1) as f64 / per_second;
        let turns = (u64::from(place)..).step_by(of.max(1) as usize).map(time_of);
        for leaves in turns.take_while(|leaves| *leaves < length) {
            let at = ((begin + leaves) * 1e9) as Nanos;
            // One that would have to go again before it is back goes a little later.
            let at = changes.back().map_or(at, |(back, _): &(Nanos, Change)| at.max(back + 1));
            changes.extend([(at, Change::Leave), (at + away, Change::Come)]);
        }
        Self(changes)
    }

    /// Whether it is not there at first.
    #[must_use]
    pub fn comes_late(&self) -> bool {
        self.0.front().is_some_and(|(_, change)| *change == Change::Come)
    }

    /// The next change.
    #[must_use]
    pub fn next(&self) -> Option<(Nanos, Change)> {
        self.0.front().copied()
    }

    /// The next change has been made.
    pub fn pass(&mut self) {
        self.0.pop_front();
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

fn of_behaviour(behaviour: &Behaviour, begin: Nanos) -> VecDeque<(Nanos, Change)> {
    let mut changes: Vec<(Nanos, Change)> = [
        (behaviour.join, Change::Come),
        (behaviour.leave, Change::Leave),
        (behaviour.rejoin, Change::Come),
        (behaviour.stop_reading, Change::Stop),
        (behaviour.read_again, Change::Resume),
    ]
    .into_iter()
    .filter_map(|(at, change)| Some((begin + nanos(at?), change)))
    .collect();
    changes.sort_by_key(|(at, _)| *at);
    changes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(more: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\n[workload]\nsubscribers = 3\npublishers = 2\n{more}\n[phases]\nwarm_up = \"1s\"\nmeasure = \"3s\"\n\
             [[target]]\nname = \"a\"\ndriver = \"loopback\"\n"
        );
        Scenario::parse(&text, "test", &[]).unwrap()
    }

    fn changes(mut presence: Presence) -> Vec<(u64, Change)> {
        std::iter::from_fn(|| {
            let next = presence.next();
            presence.pass();
            next.map(|(at, change)| (at / 1_000_000, change))
        })
        .collect()
    }

    #[test]
    fn without_a_word_everybody_is_always_there() {
        let scenario = scenario("");
        assert_eq!(Presence::of_subscriber(&scenario, 0), Presence::default());
        assert_eq!(Presence::of_publisher(&scenario, 1), Presence::default());
    }

    #[test]
    fn churn_takes_one_connection_after_the_other_and_brings_it_back() {
        let scenario = scenario("subscriber_churn = 2\nchurn_away = \"100ms\"");
        let (leave, come) = (Change::Leave, Change::Come);
        let of = |connection| changes(Presence::of_subscriber(&scenario, connection));
        assert_eq!(of(0), [(1500, leave), (1600, come), (3000, leave), (3100, come)]);
        assert_eq!(of(1), [(2000, leave), (2100, come), (3500, leave), (3600, come)]);
        assert_eq!(of(2), [(2500, leave), (2600, come)], "the sixth would go when the phase ends");
        let quick = self::scenario("publisher_churn = 100\nchurn_away = \"1s\"");
        let quick = changes(Presence::of_publisher(&quick, 0));
        assert!(quick.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{quick:?}");
    }

    #[test]
    fn behaviours_are_in_order_and_count_from_the_start_of_the_measured_phase() {
        let late = "[[behaviour]]\nfirst = 1\nleave = \"2s\"\njoin = \"500ms\"\n";
        let scenario = scenario(&format!("topics = 1\n{late}"));
        let presence = Presence::of_subscriber(&scenario, 1);
        assert!(presence.comes_late());
        assert_eq!(changes(presence), [(1500, Change::Come), (3000, Change::Leave)]);
        assert!(!Presence::of_subscriber(&scenario, 0).comes_late());
    }
}
