//! Waits for intended send times on one thread, for all its publishing connections.
//!
//! One pacer task per thread sleeps until shortly before the next due time (by as much as its timer has been
//! late of late, 50 µs at most), spins the rest by yielding to the thread's other tasks, takes every message that
//! is due, and wakes the connections concerned. It runs whatever state the connections are in, so its lag is the
//! generator's own lateness and nothing else; what a connection adds by back-pressure is its stall. It does not
//! spin where that would help no message: before a due time of a connection that still has earlier messages to
//! write, or for a timer that rings later than a spin is long. A core that it burnt then could be the broker's.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::schedule::Schedule;
use super::spin::{SPIN_MAX, SpinMeter};
use super::timer::Timer;
use crate::clock::{Clock, Nanos};

/// Sleep no longer than this at a time, so that a stop is noticed.
const LONGEST_SLEEP: Nanos = 10_000_000;

/// A sleep shorter than this costs more than the spin that it saves.
const SHORTEST_SLEEP: Nanos = 2_000;

/// Wake records that a blocked connection keeps; later ones are merged into the last, which then says a
/// wake time before they were due: take the later of the two.
const WAKES_MAX: usize = 4096;

/// Messages that became due at one wake of the pacer.
#[derive(Debug, Clone, Copy)]
struct Wake {
    at: Nanos,
    messages: u64,
}

/// What the pacer has released for one connection and the connection has not taken yet.
#[derive(Debug, Default)]
struct Mailbox {
    wakes: RefCell<VecDeque<Wake>>,
    waker: RefCell<Option<Waker>>,
    over: Cell<bool>,
}

/// A connection's end of the pacer.
#[derive(Debug, Clone)]
pub struct PacerHandle(Rc<Mailbox>);

impl PacerHandle {
    /// Takes one released message, saying when the pacer woke for it. Without one: `None`.
    #[inline]
    #[must_use]
    pub fn take(&self) -> Option<Nanos> {
        let mut wakes = self.0.wakes.borrow_mut();
        let front = wakes.front_mut()?;
        let at = front.at;
        front.messages -= 1;
        if front.messages == 0 {
            wakes.pop_front();
        }
        Some(at)
    }

    /// Waits until a message is released (true) or the schedule is over and all is taken (false).
    /// Cancel-safe.
    pub async fn released(&self) -> bool {
        std::future::poll_fn(|context| {
            if !self.0.wakes.borrow().is_empty() {
                return Poll::Ready(true);
            }
            if self.0.over.get() {
                return Poll::Ready(false);
            }
            *self.0.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether earlier messages still wait for the connection to write them.
    fn is_behind(&self) -> bool {
        !self.0.wakes.borrow().is_empty()
    }

    fn post(&self, wake: Wake) {
        let mut wakes = self.0.wakes.borrow_mut();
        let full = wakes.len() >= WAKES_MAX;
        match wakes.back_mut() {
            Some(last) if full => last.messages += wake.messages,
            _ => wakes.push_back(wake),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.0.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn close(&self) {
        self.0.over.set(true);
        self.wake();
    }
}

/// The pacer of one thread.
#[derive(Debug)]
pub struct Pacer {
    clock: Clock,
    start: Nanos,
    spin_max: Nanos,
    /// How late the timer tends to be: it is asked to ring this much early.
    margin: Cell<Nanos>,
    meter: Rc<SpinMeter>,
    heap: BinaryHeap<Reverse<(Nanos, usize)>>,
    schedules: Vec<(Schedule, PacerHandle)>,
}

impl Pacer {
    /// A pacer for a trial that starts at `start` on `clock`; `spin` allows the short spin.
    #[must_use]
    pub fn new(clock: Clock, start: Nanos, spin: bool, meter: Rc<SpinMeter>) -> Self {
        let spin_max = if spin { SPIN_MAX.as_nanos() as Nanos } else { 0 };
        let margin = Cell::new(spin_max);
        Self { clock, start, spin_max, margin, meter, heap: BinaryHeap::new(), schedules: Vec::new() }
    }

    /// Adds a connection, which keeps a clone of the schedule to know what it is told to send.
    pub fn add(&mut self, schedule: Schedule) -> PacerHandle {
        let handle = PacerHandle(Rc::default());
        match schedule.peek() {
            Some(due) => self.heap.push(Reverse((due, self.schedules.len()))),
            None => handle.close(),
        }
        self.schedules.push((schedule, handle.clone()));
        handle
    }

    /// Releases every message of every schedule at its time; returns how many. `stopped` is asked at least
    /// every 10 ms.
    ///
    /// # Errors
    /// When the system gives no timer.
    pub async fn run(mut self, stopped: impl Fn() -> bool) -> io::Result<u64> {
        let timer = Timer::new()?;
        let mut released = 0;
        while let Some(&Reverse(next)) = self.heap.peek() {
            let now = self.wait_for(next, &timer, &stopped).await?;
            if stopped() {
                break;
            }
            released += self.release(now);
            tokio::task::yield_now().await;
        }
        for (_, handle) in &self.schedules {
            handle.close();
        }
        Ok(released)
    }

    /// Sleeps, then spins, until a connection's next message is due; gives the time then, since the start of the trial.
    async fn wait_for(
        &self,
        (due, connection): (Nanos, usize),
        timer: &Timer,
        stopped: &impl Fn() -> bool,
    ) -> io::Result<Nanos> {
        let due_at = self.start + due;
        let handle = &self.schedules[connection].1;
        loop {
            let now = self.clock.now();
            if now >= due_at || stopped() {
                return Ok(now.saturating_sub(self.start));
            }
            let left = due_at - now;
            let margin = if handle.is_behind() { 0 } else { self.margin.get() };
            if left > margin + SHORTEST_SLEEP {
                let nap = (left - margin).min(LONGEST_SLEEP);
                timer.sleep(nap).await?;
                self.learn(self.clock.now().saturating_sub(now + nap));
            } else {
                self.spin_once(now).await;
            }
        }
    }

    /// The timer rang this late: a worse lateness counts at once, a better one little by little, and one that no
    /// spin covers not at all: then another thread had the core.
    fn learn(&self, late: Nanos) {
        let margin = self.margin.get();
        if late <= self.spin_max {
            self.margin.set(if late > margin { late } else { margin - (margin - late) / 16 });
        }
    }

    /// Lets the other tasks run once; if none had anything to do, the time counts as spin.
    async fn spin_once(&self, before: Nanos) {
        let work = self.meter.work();
        tokio::task::yield_now().await;
        if self.meter.work() == work {
            self.meter.spun(before, self.clock.now());
        }
    }

    /// Releases all that is due at `now`.
    fn release(&mut self, now: Nanos) -> u64 {
        let mut released = 0;
        while let Some(&Reverse((due, index))) = self.heap.peek() {
            if due > now {
                break;
            }
            self.heap.pop();
            let (schedule, handle) = &mut self.schedules[index];
            let mut messages = 0;
            while schedule.peek().is_some_and(|intended| intended <= now) {
                messages += 1;
                schedule.take();
            }
            handle.post(Wake { at: now, messages });
            match schedule.peek() {
                Some(due) => self.heap.push(Reverse((due, index))),
                None => handle.close(),
            }
            handle.wake();
            released += messages;
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Limit, Pace};
    use crate::scenario::{Arrival, Delivery, Subscribe, Topology};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn schedule(rate: f64, until: Nanos) -> Schedule {
        let topology = Topology {
            publishers: 1,
            publisher_connections: 1,
            subscribers: 0,
            subscriber_connections: 0,
            topics: 1,
            subscribe: Subscribe::All,
            delivery: Delivery::FanOut,
            payload_max: 0,
            prefix: "t".into(),
            ..Topology::default()
        };
        let limit = Limit { measure_from: 0, until, measured: u64::MAX };
        Schedule::new(&topology, 0, (Arrival::Constant, &Pace::Constant(rate)), limit, 0)
    }

    #[test]
    fn every_message_is_released_once_and_never_before_its_time() {
        run(async {
            let clock = Clock::real();
            let mut pacer = Pacer::new(clock.clone(), clock.now(), true, Rc::default());
            let mut mine = schedule(10_000.0, 20_000_000);
            let handle = pacer.add(mine.clone());
            let taker = async {
                let mut taken = 0;
                while handle.released().await {
                    assert!(handle.take().unwrap() >= mine.take().unwrap().intended);
                    taken += 1;
                }
                taken
            };
            let (released, taken) = tokio::join!(pacer.run(|| false), taker);
            assert_eq!((released.unwrap(), taken), (200, 200));
        });
    }

    #[test]
    fn a_connection_that_takes_nothing_changes_no_count_and_grows_no_queue() {
        run(async {
            let clock = Clock::real();
            let mut pacer = Pacer::new(clock.clone(), clock.now(), false, Rc::default());
            let handle = pacer.add(schedule(1_000_000.0, 50_000_000));
            pacer.run(|| false).await.unwrap();
            assert!(handle.0.wakes.borrow().len() <= WAKES_MAX);
            assert_eq!(std::iter::from_fn(|| handle.take()).count(), 50_000);
        });
    }

    /// How long a pacer spins in a tenth of a second whose messages are written, or wait.
    async fn spun_while(written: bool) -> Nanos {
        let clock = Clock::real();
        let meter = Rc::new(SpinMeter::new(0));
        let mut pacer = Pacer::new(clock.clone(), clock.now(), true, meter.clone());
        let handle = pacer.add(schedule(40_000.0, 100_000_000));
        let writer = async {
            while written && handle.released().await {
                assert!(handle.take().is_some());
            }
        };
        let (released, ()) = tokio::join!(pacer.run(|| false), writer);
        assert_eq!(released.unwrap(), 4_000);
        meter.total()
    }

    #[test]
    fn it_does_not_spin_for_a_connection_that_has_earlier_messages_to_write() {
        let (written, waiting) = (run(spun_while(true)), run(spun_while(false)));
        assert!(
            waiting * 4 < written,
            "{waiting} ns spun while messages wait, {written} while they are written"
        );
    }

    #[test]
    fn the_margin_grows_at_once_shrinks_slowly_and_never_exceeds_the_spin() {
        let pacer = Pacer::new(Clock::manual(), 0, true, Rc::default());
        (0..200).for_each(|_| pacer.learn(4_000));
        assert!((4_000..4_100).contains(&pacer.margin.get()), "{}", pacer.margin.get());
        pacer.learn(30_000);
        assert_eq!(pacer.margin.get(), 30_000);
        pacer.learn(50_000);
        assert_eq!(pacer.margin.get(), 50_000);
        (0..200).for_each(|_| pacer.learn(4_000));
        pacer.learn(5_000_000);
        assert!(pacer.margin.get() < 4_100, "a core that another thread had is no lateness of the timer");
        let calm = Pacer::new(Clock::manual(), 0, false, Rc::default());
        calm.learn(30_000);
        assert_eq!(calm.margin.get(), 0, "without leave to spin it sleeps to the end");
    }

    #[test]
    fn a_stop_ends_it_long_before_the_schedule_does() {
        run(async {
            let clock = Clock::real();
            let mut pacer = Pacer::new(clock.clone(), clock.now(), false, Rc::default());
            let handle = pacer.add(schedule(0.001, 3_600_000_000_000));
            let stop = Cell::new(false);
            let stopper = async {
                handle.released().await;
                stop.set(true);
            };
            let (released, ()) = tokio::join!(pacer.run(|| stop.get()), stopper);
            assert_eq!(released.unwrap(), 1);
        });
    }
}
