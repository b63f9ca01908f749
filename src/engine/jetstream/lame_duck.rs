//! A server on its way out: nobody is let in, and whoever is there is told so, and goes one after the other.

use super::error::EngineError;
use super::server::Server;
use super::sublist::ClientKey;
use crate::clock::Nanos;
use crate::prng::Prng;
use crate::wire::nats::append_info;
use std::collections::VecDeque;
use std::time::Duration;

/// The longest time between two clients, in nanoseconds.
const LONGEST: Nanos = 1_000_000_000;

/// How the clients of a server that ends are spread over time, as nats-server does it.
#[derive(Debug)]
pub(super) struct LameDuck {
    left: VecDeque<ClientKey>,
    next: Nanos,
    /// Between two clients, at most; half of it at least.
    interval: Nanos,
}

impl LameDuck {
    /// Begins: after `grace` all `clients` go in what is left of `duration`.
    pub(super) fn begin(
        now: Nanos,
        (duration, grace): (Duration, Duration),
        clients: impl Iterator<Item = ClientKey>,
    ) -> Self {
        let left: VecDeque<ClientKey> = clients.collect();
        let rest = duration.checked_sub(grace).filter(|rest| !rest.is_zero());
        let rest = rest.map_or(LONGEST, |rest| rest.as_nanos() as Nanos);
        let interval = (rest / (left.len() as Nanos).max(1)).clamp(1, LONGEST);
        // A server without clients waits for nobody.
        let next = if left.is_empty() { now } else { now + grace.as_nanos() as Nanos };
        Self { left, next, interval }
    }

    /// The clients that are to go now; `chance` is anything, for the distance to the next one.
    pub(super) fn go(&mut self, now: Nanos, mut chance: impl FnMut(u64) -> u64) -> Vec<ClientKey> {
        let mut gone = Vec::new();
        while self.next <= now
            && let Some(key) = self.left.pop_front()
        {
            gone.push(key);
            self.next += chance(self.interval).max(self.interval / 2).max(1);
        }
        gone
    }

    /// Whether all have gone.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        self.left.is_empty() && self.next <= now + self.interval
    }
}

impl Server {
    /// Lets nobody in any more, and says so to everybody who understands it. Streams are served until the end.
    ///
    /// # Errors
    /// The system refuses to let go of the port.
    pub(super) fn begin_to_end(&mut self) -> Result<(), EngineError> {
        // Connections that are still in the listener's queue are not let in, as with nats-server.
        // Closing it takes it off the poll.
        self.web = None;
        if let Some(mut listener) = self.listener.take() {
            self.poll.registry().deregister(&mut listener)?;
        }
        let keys: Vec<ClientKey> = self.hub.clients.iter().map(|(key, _)| key as ClientKey).collect();
        let info = self.info.lame();
        for &key in &keys {
            let client = self.hub.client(key);
            if client.ways.informed {
                let text = info.json_for(&client.identity);
                self.hub.push(key, |out| append_info(out, &text));
            }
        }
        let times = (self.settings.lame_duck_duration, self.settings.lame_duck_grace_period);
        self.ends = Some(LameDuck::begin(self.times.now, times, keys.into_iter()));
        self.flush_all();
        Ok(())
    }

    /// Closes clients whose time has come.
    pub(super) fn let_go(&mut self, now: Nanos) {
        let Some(ends) = &mut self.ends else { return };
        let mut prng = Prng::new(now);
        for key in ends.go(now, |most| prng.below(most)) {
            if self.hub.clients.contains(key as usize) {
                self.hub.close_after_output(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn clients_go_one_by_one_after_the_grace_period_and_within_the_duration() {
        let times = (Duration::from_secs(30), Duration::from_secs(10));
        let mut ends = LameDuck::begin(5, times, 0..100);
        assert!(ends.go(9 * SECOND, |most| most / 2).is_empty() && !ends.is_over(9 * SECOND));
        let (mut gone, mut now) = (Vec::new(), 5);
        while !ends.is_over(now) {
            now += SECOND / 10;
            let some = ends.go(now, |most| most - 1);
            assert!(some.len() <= 1, "100 clients in 20 s are one each 200 ms");
            gone.extend(some);
        }
        assert_eq!((gone, now <= 31 * SECOND), ((0..100).collect(), true));
    }

    #[test]
    fn a_server_without_clients_ends_at_once() {
        assert!(LameDuck::begin(7, (Duration::from_secs(30), Duration::from_secs(10)), 0..0).is_over(7));
    }

    #[test]
    fn a_few_clients_are_a_second_apart_at_most() {
        let mut ends = LameDuck::begin(0, (Duration::from_secs(120), Duration::ZERO), 0..3);
        assert_eq!(ends.go(0, |most| most).len() + ends.go(2 * SECOND, |most| most).len(), 3);
    }
}
