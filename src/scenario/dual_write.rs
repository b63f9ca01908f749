//! Two systems for the same messages, and subscribers that move from one to the other.

use std::time::Duration;

use super::broker::Broker;
use super::model::{DriverConfig, Target};

/// The new system of a target that writes each message to two, and how its subscribers move there.
#[derive(Debug, Clone, PartialEq)]
pub struct DualWrite {
    /// Its driver, with its options.
    pub driver: DriverConfig,
    /// Where its broker comes from.
    pub broker: Broker,
    /// It is made ready and written to only then, since the start of the measured phase; from the beginning on if
    /// nothing is said.
    pub from: Option<Duration>,
    /// Who moves when, in order; all subscribers together.
    pub moves: Vec<Move>,
}

/// Some subscribers that move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Since the start of the measured phase.
    pub at: Duration,
    /// How many: those that come next.
    pub subscribers: u32,
}

impl DualWrite {
    /// Each move with the first subscriber that it takes along.
    pub fn moves(&self) -> impl Iterator<Item = (u32, Move)> {
        self.moves.iter().scan(0u32, |next, one| {
            let first = *next;
            *next = next.saturating_add(one.subscribers);
            Some((first, *one))
        })
    }

    /// When a subscriber moves.
    #[must_use]
    pub fn move_of(&self, subscriber: u32) -> Option<Duration> {
        let takes = |(first, one): &(u32, Move)| {
            subscriber.checked_sub(*first).is_some_and(|place| place < one.subscribers)
        };
        self.moves().find(takes).map(|(_, one)| one.at)
    }
}

impl Target {
    /// A target that is one system.
    #[must_use]
    pub fn one(name: &str, driver: DriverConfig, broker: Broker) -> Self {
        let name = name.to_owned();
        Self { name, driver, broker, dual_write: None, optional: false, price_per_hour: None }
    }

    /// The new system, as a target of its own; `None` where there is one system only.
    #[must_use]
    pub fn new_system(&self) -> Option<Self> {
        let DualWrite { driver, broker, .. } = self.dual_write.as_ref()?;
        Some(Self::one(&format!("{}-new", self.name), driver.clone(), broker.clone()))
    }

    /// The name of its driver, or of both.
    #[must_use]
    pub fn driver_name(&self) -> String {
        let new = self.dual_write.iter().map(|dual_write| dual_write.driver.name());
        [self.driver.name()].into_iter().chain(new).collect::<Vec<_>>().join("+")
    }

    /// Who builds the frames, for either driver.
    #[must_use]
    pub fn client_name(&self) -> String {
        let new = self.dual_write.iter().map(|dual_write| dual_write.driver.client());
        let mut clients: Vec<&str> = [self.driver.client()].into_iter().chain(new).collect();
        clients.dedup();
        clients.join("+")
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::NatsCoreOptions;
    use super::*;

    #[test]
    fn subscribers_move_in_order_each_once() {
        let at = Duration::from_secs;
        let moves = vec![Move { at: at(1), subscribers: 2 }, Move { at: at(3), subscribers: 1 }];
        let driver = DriverConfig::NatsCore(NatsCoreOptions::default());
        let dual_write = DualWrite { driver, broker: Broker::Bundled, from: None, moves };
        let moved: Vec<Option<Duration>> = (0..4).map(|one| dual_write.move_of(one)).collect();
        assert_eq!(moved, [Some(at(1)), Some(at(1)), Some(at(3)), None]);
        assert_eq!(dual_write.moves().map(|(first, _)| first).collect::<Vec<_>>(), [0, 2]);
    }
}
