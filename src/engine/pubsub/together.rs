//! What the event loops of one engine have in common, and how they are woken. On the path of a message that
//! is the order of events (`log`) and a flag for each loop that sleeps.

use super::commands::{Answer, Query};
use super::log::{Cursor, Draft, Event, Held, Node};
use crate::engine::stream::Stream;
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// Event loops at most: one bit each.
pub const MOST_THREADS: usize = 64;
/// A loop reads nothing more from its clients while another one is this many bytes behind.
const MOST_BEHIND: u64 = 8 * 1024 * 1024;
/// A loop that nothing is for is woken now and then, so that it lets go what it holds.
const WAKE_BEHIND: u64 = MOST_BEHIND / 4;

/// A connection on its way to the loop that will serve it.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The connection.
    pub(super) stream: Stream,
    /// Its number.
    pub(super) id: u64,
}

/// One event loop, as the others see it. Apart from its neighbours in memory.
#[derive(Debug)]
#[repr(align(128))]
struct Seat {
    waker: Waker,
    thread: OnceLock<Thread>,
    /// It waits for events, or is about to.
    asleep: AtomicBool,
    /// It waits for others to come nearer.
    held_up: AtomicBool,
    /// How far it has walked, in bytes.
    walked: AtomicU64,
    clients: AtomicUsize,
    arrivals: Mutex<Vec<Arrival>>,
}

/// What all event loops share.
#[derive(Debug)]
pub(super) struct Shared {
    seats: Vec<Seat>,
    next_id: AtomicU64,
    stopping: AtomicBool,
    /// Most bytes ever allocated, as far as it was looked at.
    peak_memory: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// For as many loops as there are wakers.
    pub(super) fn new(wakers: Vec<Waker>) -> Self {
        let seat = |waker| Seat {
            waker,
            thread: OnceLock::new(),
            asleep: AtomicBool::new(false),
            held_up: AtomicBool::new(false),
            walked: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            arrivals: Mutex::new(Vec::new()),
        };
        Self {
            seats: wakers.into_iter().map(seat).collect(),
            next_id: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            peak_memory: AtomicU64::new(0),
        }
    }

    /// How many loops there are.
    pub(super) fn loops(&self) -> usize {
        self.seats.len()
    }

    /// Clients of all loops.
    pub(super) fn clients(&self) -> usize {
        self.seats.iter().map(|seat| seat.clients.load(Ordering::Relaxed)).sum()
    }

    /// Counts a new client: the loop with the fewest, which is to serve it, and its number.
    pub(super) fn place(&self) -> (usize, u64) {
        let clients = |seat: &Seat| seat.clients.load(Ordering::Relaxed);
        let least = self.seats.iter().enumerate().min_by_key(|(_, seat)| clients(seat));
        let on = least.map_or(0, |(on, _)| on);
        self.seats[on].clients.fetch_add(1, Ordering::Relaxed);
        (on, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a client less.
    pub(super) fn gone(&self, on: usize) {
        self.seats[on].clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands a connection over to a loop.
    pub(super) fn hand_over(&self, on: usize, arrival: Arrival) {
        locked(&self.seats[on].arrivals).push(arrival);
        self.wake(on);
    }

    /// The connections handed over to a loop.
    pub(super) fn arrivals(&self, on: usize) -> Vec<Arrival> {
        std::mem::take(&mut *locked(&self.seats[on].arrivals))
    }

    /// Notes which thread a loop runs on.
    pub(super) fn sit_down(&self, on: usize) {
        // The first time is the only one.
        let _ = self.seats[on].thread.set(std::thread::current());
    }

    /// Wakes a loop, whatever it waits for.
    fn wake(&self, on: usize) {
        let seat = &self.seats[on];
        // A waker that fails leaves the loop to its next housekeeping, a tenth of a second away.
        let _ = seat.waker.wake();
        if let Some(thread) = seat.thread.get() {
            thread.unpark();
        }
    }

    /// Tells all loops to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        (0..self.loops()).for_each(|on| self.wake(on));
    }

    /// Whether they were told.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The most memory that was seen, now that this much is.
    pub(super) fn peak_memory(&self, now: u64) -> u64 {
        self.peak_memory.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// Something that every loop has to say its part of.
#[derive(Debug)]
pub(super) struct Question {
    /// What is asked.
    pub(super) query: Query,
    asker: Thread,
    answers: Mutex<Vec<Answer>>,
}

impl Question {
    /// Asked by this thread.
    pub(super) fn new(query: Query) -> Self {
        Self { query, asker: std::thread::current(), answers: Mutex::new(Vec::new()) }
    }

    /// One loop's part.
    pub(super) fn answer(&self, answer: Answer) {
        locked(&self.answers).push(answer);
        self.asker.unpark();
    }

    /// All parts, once there are `count`.
    pub(super) fn answers(&self, count: usize) -> Option<Vec<Answer>> {
        let mut answers = locked(&self.answers);
        (answers.len() >= count).then(|| std::mem::take(&mut *answers))
    }
}

/// One event loop's end of what they have in common; only there when there is more than one.
#[derive(Debug)]
pub(super) struct Peers {
    me: usize,
    shared: Arc<Shared>,
    cursor: Cursor,
    /// The place of a transaction that is being executed.
    pub(super) held: Option<Held>,
    /// Loops to be told, a bit each.
    to_wake: u64,
    /// Asked and not answered by this loop.
    pub(super) questions: Vec<Arc<Question>>,
}

impl Peers {
    /// The end of loop `me`.
    pub(super) fn new(me: usize, shared: Arc<Shared>, cursor: Cursor) -> Self {
        Self { me, shared, cursor, held: None, to_wake: 0, questions: Vec::new() }
    }

    /// Which loop this is.
    pub(super) fn me(&self) -> usize {
        self.me
    }

    /// How many other loops there are.
    pub(super) fn others(&self) -> usize {
        self.shared.loops() - 1
    }

    /// Whether other loops appended something.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.cursor.has_more()
    }

    /// The next event of the others, if there is one.
    #[inline]
    pub(super) fn step(&mut self) -> Option<Arc<Node>> {
        self.cursor.step()
    }

    /// Says how far this loop is, to those that wait for it.
    pub(super) fn tell_progress(&self) {
        self.shared.seats[self.me].walked.store(self.cursor.walked(), Ordering::Release);
        for (on, seat) in self.shared.seats.iter().enumerate() {
            if seat.held_up.load(Ordering::Acquire) && seat.held_up.swap(false, Ordering::AcqRel) {
                self.shared.wake(on);
            }
        }
    }

    /// Appends events, or gives them back if there are others to be taken note of first.
    pub(super) fn append(&mut self, draft: Draft) -> Result<(), Draft> {
        self.cursor.append(draft).map(|_| self.appended())
    }

    /// Appends a place for the events of a transaction; the others wait there until it is let go.
    pub(super) fn hold(&mut self, draft: Draft) -> Result<(), Draft> {
        let node = self.cursor.append(draft)?;
        self.appended();
        self.held = Some(Held::new(node));
        Ok(())
    }

    /// An event of this loop, to be appended.
    pub(super) fn draft(&self, event: Event) -> Draft {
        Draft::new(self.me, event)
    }

    /// A transaction's place, to be held.
    pub(super) fn blank(&self, weight: u64) -> Draft {
        Draft::blank(self.me, weight)
    }

    fn appended(&mut self) {
        let walked = self.cursor.walked();
        self.shared.seats[self.me].walked.store(walked, Ordering::Release);
        for (on, seat) in self.shared.seats.iter().enumerate() {
            if walked.saturating_sub(seat.walked.load(Ordering::Relaxed)) > WAKE_BEHIND {
                self.to_wake |= 1 << on;
            }
        }
    }

    /// Notes loops that are to be told.
    pub(super) fn mark(&mut self, loops: u64) {
        self.to_wake |= loops;
    }

    /// Tells the loops that were noted, if they sleep: one wake for all that was appended.
    pub(super) fn wake_marked(&mut self) {
        if self.to_wake == 0 {
            return;
        }
        // Pairs with the one in `fall_asleep`: either they see what was appended, or this sees them asleep.
        fence(Ordering::SeqCst);
        let marked = std::mem::take(&mut self.to_wake) & !(1 << self.me);
        for (on, seat) in self.shared.seats.iter().enumerate() {
            let sleeps = marked & (1 << on) != 0 && seat.asleep.load(Ordering::Relaxed);
            if sleeps && seat.asleep.swap(false, Ordering::AcqRel) {
                self.shared.wake(on);
            }
        }
    }

    /// Wakes all others, whatever they wait for.
    pub(super) fn wake_all(&self) {
        (0..self.shared.loops()).filter(|&on| on != self.me).for_each(|on| self.shared.wake(on));
    }

    /// Says that this loop is about to wait; whether it may.
    pub(super) fn fall_asleep(&self) -> bool {
        let seat = &self.shared.seats[self.me];
        seat.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        !self.cursor.has_more() && self.questions.is_empty()
    }

    /// Says that this loop waits no more.
    pub(super) fn wake_up(&self) {
        self.shared.seats[self.me].asleep.store(false, Ordering::Relaxed);
    }

    /// Whether the slowest loop is near enough to read more; if not, this one is woken when it has moved.
    pub(super) fn may_go_on(&self) -> bool {
        if !self.is_far_ahead() {
            return true;
        }
        self.shared.seats[self.me].held_up.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        !self.is_far_ahead()
    }

    fn is_far_ahead(&self) -> bool {
        let least = self.shared.seats.iter().map(|seat| seat.walked.load(Ordering::Acquire)).min();
        self.cursor.walked().saturating_sub(least.unwrap_or(0)) > MOST_BEHIND
    }
}

/// Makes the waker of a loop.
///
/// # Errors
/// As `eventfd(2)`.
pub(super) fn waker(poll: &mio::Poll, token: mio::Token) -> io::Result<Waker> {
    Waker::new(poll.registry(), token)
}
