//! What happens while a trial runs: servers that are killed, paused or restarted, subscribers that come and go.

use std::time::Duration;

use super::model::{Delay, Scenario};

/// Something that is done to a broker at a given time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the start of the measured phase.
    pub at: Duration,
    /// What is done.
    pub action: Action,
    /// Which server of the broker.
    pub node: EventNode,
    /// How long a pause lasts, or how long a restarted server stays away.
    pub lasting: Duration,
    /// The target it concerns; each of them if absent.
    pub target: Option<String>,
}

/// Which server of a broker something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventNode {
    /// The one with this number, from 0.
    Number(u32),
    /// The one that leads the replicated stream when the time has come.
    Leader,
}

/// What is done to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL, and it stays away.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Pause,
    /// SIGKILL, and started again after a while with the same configuration, directory and ports.
    Restart,
}

/// What some subscribers do that the others don't. Times are since the start of the measured phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// The first of them.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// They subscribe only then.
    pub join: Option<Duration>,
    /// They close their connections then.
    pub leave: Option<Duration>,
    /// They subscribe again then.
    pub rejoin: Option<Duration>,
    /// They stay connected and read nothing from then on …
    pub stop_reading: Option<Duration>,
    /// … until then; for good if absent.
    pub read_again: Option<Duration>,
    /// Their own simulated work for each message.
    pub processing_delay: Option<Delay>,
}

/// Connections that are closed and opened again all the time, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// Subscribing connections per second.
    pub subscribers: f64,
    /// Publishing connections per second.
    pub publishers: f64,
    /// How long each stays away.
    pub away: Duration,
}

/// A broker that is restarted may be away for this long before subscribers have it again.
const RESTART_WITHIN: Duration = Duration::from_secs(15);

impl Scenario {
    /// Whether somebody who is meant to take messages may not be there: what is under way then is no measure of how
    /// long it takes.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        let churn = &self.workload.churn;
        let moves = self.targets.iter().any(|target| target.dual_write.is_some());
        churn.subscribers > 0.0 || !self.behaviours.is_empty() || !self.events.is_empty() || moves
    }

    /// The events that concern a target.
    pub fn events_of<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.target.as_ref().is_none_or(|name| name == target))
    }

    /// What a subscriber does differently, if anything.
    #[must_use]
    pub fn behaviour_of(&self, subscriber: u32) -> Option<&Behaviour> {
        self.behaviours.iter().find(|behaviour| {
            subscriber.checked_sub(behaviour.first).is_some_and(|place| place < behaviour.count)
        })
    }

    /// The longest time for which anybody is not there to take messages: they may come that much later.
    #[must_use]
    pub fn longest_absence(&self) -> Duration {
        let until = |from: Option<Duration>, to: Option<Duration>| {
            to.unwrap_or_default().saturating_sub(from.unwrap_or_default())
        };
        let behaviours = self.behaviours.iter().map(|behaviour| {
            let joins = self.phases.warm_up.saturating_add(behaviour.join.unwrap_or_default());
            let joins = behaviour.join.map_or(Duration::ZERO, |_| joins);
            joins
                .max(until(behaviour.leave, behaviour.rejoin))
                .max(until(behaviour.stop_reading, behaviour.read_again))
        });
        let events = self.events.iter().map(|event| match event.action {
            Action::Kill => RESTART_WITHIN,
            Action::Pause => event.lasting,
            Action::Restart => event.lasting.saturating_add(RESTART_WITHIN),
        });
        behaviours.chain(events).chain([self.workload.churn.away]).max().unwrap_or_default()
    }
}
