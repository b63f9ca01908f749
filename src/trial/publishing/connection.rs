//! One publishing connection: takes what the pacer releases (or what the window allows), stamps it, hands it
//! to the driver, and settles the answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::inquiries::Replies;
use super::super::payload::Bodies;
use super::super::processing::Unanswered;
use super::super::reopen::{Reopening, pause};
use super::super::setup::Setup;
use super::super::signal::{Listener, Totals};
use crate::clock::Nanos;
use crate::driver::{AckRun, Driver, DriverError, Enqueued, ErrorKind, Outcome, Publisher};
use crate::load::{Change, Due, Limit, PacerHandle, Presence, Schedule, SpinMeter, Turn, Window};
use crate::measure::{MessageId, PublishRecorder, Silence, Stamp, Tail, Trace, Trail};
use crate::scenario::{LaneId, TopicId};

/// Bytes of payload handed to a driver between two writes, at most.
const BATCH_BYTES: usize = 64 * 1024;

/// What a frame takes beside its payload, roughly.
const FRAME_BYTES: usize = 64;

/// Messages handed to a driver between two readings of the clock, at most.
const BATCH_MESSAGES: u64 = 1024;

/// Batches that a connection writes at rate max before the others of its thread have their turn: a turn costs a look
/// at all sockets.
const WRITES_A_TURN: u32 = 4;

/// Messages without an answer, where no window bounds them; then the connection waits.
const UNANSWERED_MAX: u64 = 1 << 16;

/// A message without an answer for this long is unknown and keeps no window credit.
const ANSWER_TIMEOUT: Nanos = 5_000_000_000;

/// A closed loop without any movement for this long takes its credit back.
const CREDIT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a thread's connections share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) setup: Arc<Setup>,
    pub(super) recorder: Rc<RefCell<PublishRecorder>>,
    pub(super) trail: Rc<RefCell<Trail>>,
    pub(super) meter: Rc<SpinMeter>,
    /// The lanes of this thread's publishers, by lane.
    pub(super) lanes: Rc<[LaneState]>,
    /// Start of the trial on the clock.
    pub(super) start: Nanos,
}

/// How far a lane has come, and what is the same for all its messages.
#[derive(Debug)]
pub(super) struct LaneState {
    topic: TopicId,
    /// The deliveries that each message asks for.
    copies: u64,
    /// The next sequence.
    next: Cell<u64>,
    /// Its measured phase has begun.
    measuring: Cell<bool>,
}

impl LaneState {
    pub(super) fn of(setup: &Setup, lane: LaneId) -> Self {
        Self {
            topic: setup.topology.topic_of(lane),
            copies: setup.copies(lane),
            next: Cell::new(0),
            measuring: Cell::new(false),
        }
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        self.setup.clock.now().saturating_sub(self.start)
    }

    /// Hands a finished interval to the timeline.
    fn roll(&self) {
        let now = self.now();
        let mut recorder = self.recorder.borrow_mut();
        if recorder.due(now) {
            recorder.roll(now);
        }
    }
}

/// A message that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    lane: LaneId,
    sequence: u64,
    intended: Nanos,
    sent: Nanos,
}

/// Consecutive messages of a lane.
#[derive(Debug, Clone, Copy)]
struct Following {
    lane: LaneId,
    first: u64,
    count: u64,
}

/// Adds a message to what it follows on from; where it doesn't, gives that and begins anew.
#[inline]
fn follow_on(run: &mut Option<Following>, next: &Waiting) -> Option<Following> {
    if let Some(run) = run
        && (run.lane, run.first + run.count) == (next.lane, next.sequence)
    {
        run.count += 1;
        return None;
    }
    run.replace(Following { lane: next.lane, first: next.sequence, count: 1 })
}

/// The answers' side of a connection, apart from the driver so that both can be borrowed at once.
#[derive(Debug)]
struct Answers {
    shared: Shared,
    unanswered: Unanswered<Waiting>,
    silence: Silence,
}

impl Answers {
    /// Notes what became of a run of messages.
    fn settle(&mut self, run: AckRun) {
        let setup = &self.shared.setup;
        self.shared.meter.worked();
        let at = self.shared.now();
        self.silence.heard(at);
        let mut recorder = self.shared.recorder.borrow_mut();
        let mut trail = self.shared.trail.borrow_mut();
        let (mut accepted, mut alike) = (0, None);
        for number in run.first..run.first + u64::from(run.count) {
            let Some(waiting) = self.unanswered.answer(number) else { continue };
            trail.acked(MessageId { lane: waiting.lane.0, sequence: waiting.sequence }, at);
            match run.outcome {
                Outcome::Accepted => {
                    accepted += 1;
                    recorder.acked(setup.times(waiting.intended, Some(waiting.sent)), at);
                    if let Some(done) = follow_on(&mut alike, &waiting) {
                        setup.books[done.lane.0 as usize].acked_run(done.first, done.count);
                    }
                }
                Outcome::Rejected => {
                    setup.books[waiting.lane.0 as usize].rejected(waiting.sequence);
                    setup
                        .totals
                        .expected
                        .fetch_sub(setup.copies(waiting.lane), std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
        if let Some(done) = alike {
            setup.books[done.lane.0 as usize].acked_run(done.first, done.count);
        }
        Totals::add(&setup.totals.acked, accepted);
    }

    /// Messages that keep window credit: without an answer, and not for so long that they are unknown.
    fn in_flight(&self) -> u64 {
        let open = self.unanswered.open();
        let now = self.shared.now();
        let late = |waiting: &Waiting| waiting.sent + ANSWER_TIMEOUT < now;
        match self.unanswered.oldest() {
            Some(oldest) if late(oldest) => open - self.unanswered.count_old(late),
            _ => open,
        }
    }
}

/// One publishing connection.
pub(super) struct Connection<D: Driver> {
    id: u32,
    driver: D,
    publisher: D::Publisher,
    presence: Presence,
    reopening: Reopening,
    /// What it is told to send; `None` at rate max.
    schedule: Option<Schedule>,
    /// Whose turn it is, and messages of the measured phase so far, at rate max.
    turn: Turn,
    measured: u64,
    bodies: Bodies,
    answers: Answers,
    replies: Replies,
    window: Window,
    /// Deliveries that the messages of the batch in hand ask for.
    expected: u64,
    /// A message that the driver had no room for.
    held: Option<(Due, Option<Nanos>)>,
    error: Option<DriverError>,
}

/// Why a connection stopped sending.
enum Ended {
    /// Everything is sent, or the time is over.
    Over,
    /// The scenario has it leave for a while.
    Leaves,
}

impl<D: Driver> Connection<D> {
    /// A connection that publishes `bodies` through `publisher`, or one that `driver` opens in its place.
    pub(super) fn new(
        shared: Shared,
        id: u32,
        (driver, publisher): (D, D::Publisher),
        schedule: Option<Schedule>,
        bodies: Bodies,
    ) -> Self {
        let setup = &shared.setup;
        let connections = u64::from(setup.topology.publisher_connections);
        let size = u64::from(setup.scenario.workload.in_flight).div_ceil(connections);
        let window = Window::new(&setup.topology, id, size);
        let silence = Silence::since(setup.measure_from);
        Self {
            id,
            driver,
            publisher,
            presence: Presence::of_publisher(&setup.scenario, id),
            reopening: Reopening::new(setup),
            schedule,
            turn: Turn::new(&setup.topology, id),
            measured: 0,
            bodies,
            answers: Answers { shared, unanswered: Unanswered::default(), silence },
            replies: Replies::default(),
            window,
            expected: 0,
            held: None,
            error: None,
        }
    }

    /// Publishes until the schedule is over, then waits for answers and stays open until told to stop. An
    /// error ends the publishing, but where a broken connection is to be opened again; the others go on.
    pub(super) async fn run(mut self, pacer: Option<PacerHandle>, mut listener: Listener) -> Report {
        let mut result = self.publish(pacer.as_ref(), &mut listener).await;
        let totals = &self.answers.shared.setup.totals;
        Totals::add(&totals.done_sending, 1);
        if let Ok(true) = result {
            let last = self.last_answers(&mut listener).await;
            let setup = &self.answers.shared.setup;
            result = last.or_else(|error| self.reopening.may_after(error, setup)).map(|()| true);
        }
        if result.is_err() {
            Totals::add(&self.answers.shared.setup.totals.disconnects, 1);
        }
        Totals::add(&self.answers.shared.setup.totals.done_answering, 1);
        // Dropping the publisher now would lose what its library or its socket still holds.
        listener.stop().await;
        self.reply(false);
        let traces = self.replies.into_found().collect();
        let mut errors = self.reopening.errors;
        errors.extend(result.err().or(self.error));
        Report { errors, forgiven: self.window.forgiven(), traces, silence: self.answers.silence }
    }

    /// Sends everything, on one connection after the other where the scenario wants that. Says whether there is a
    /// connection in the end.
    async fn publish(
        &mut self,
        pacer: Option<&PacerHandle>,
        listener: &mut Listener,
    ) -> Result<bool, DriverError> {
        loop {
            let ended = match pacer {
                Some(pacer) => self.open_loop(pacer, listener).await,
                None => self.closed_loop(listener).await,
            };
            match ended {
                Ok(Ended::Over) => return Ok(true),
                Ok(Ended::Leaves) => self.leave(listener).await?,
                Err(error) => self.reopening.may_after(error, &self.answers.shared.setup)?,
            }
            if !self.open(listener).await? {
                return Ok(false);
            }
        }
    }

    /// Waits for the answers that are still to come, within limits, and for the time to come back.
    async fn leave(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        self.presence.pass();
        let answers = tokio::time::timeout(CREDIT_TIMEOUT, self.last_answers(listener)).await;
        answers.unwrap_or(Ok(()))?;
        if let Some((at, Change::Come)) = self.presence.next() {
            self.presence.pass();
            let left = at.saturating_sub(self.answers.shared.now());
            pause(Duration::from_nanos(left), listener).await;
        }
        Ok(())
    }

    /// Opens a connection in place of the one that is gone; false if the time is over before. Messages without an
    /// answer stay without.
    async fn open(&mut self, listener: &mut Listener) -> Result<bool, DriverError> {
        let setup = Arc::clone(&self.answers.shared.setup);
        while !listener.drains() {
            let opening = self.driver.publisher(&setup.topology, self.id);
            match self.reopening.attempt(opening, listener).await {
                Some(Ok(publisher)) => {
                    self.publisher = publisher;
                    self.answers.unanswered = Unanswered::default();
                    return Ok(true);
                }
                Some(Err(error)) => self.reopening.failed(error)?,
                None => break,
            }
            pause(self.reopening.every, listener).await;
        }
        Ok(false)
    }

    /// Time until the scenario has it leave; a year if it doesn't.
    fn until_change(&self) -> Duration {
        self.presence.next().map_or(Duration::from_secs(365 * 24 * 3600), |(at, _)| {
            Duration::from_nanos(at.saturating_sub(self.answers.shared.now()))
        })
    }

    /// Whether it is time to leave.
    fn leaves(&self) -> bool {
        self.presence.next().is_some_and(|(at, _)| at <= self.answers.shared.now())
    }

    /// The schedule decides: every released message goes as soon as window, driver and socket allow.
    async fn open_loop(
        &mut self,
        pacer: &PacerHandle,
        listener: &mut Listener,
    ) -> Result<Ended, DriverError> {
        let Some(mut schedule) = self.schedule.take() else { return Ok(Ended::Over) };
        let ended = self.follow(&mut schedule, pacer, listener).await;
        self.schedule = Some(schedule);
        ended
    }

    async fn follow(
        &mut self,
        schedule: &mut Schedule,
        pacer: &PacerHandle,
        listener: &mut Listener,
    ) -> Result<Ended, DriverError> {
        let changes = self.presence.next().is_some();
        let change = tokio::time::sleep(self.until_change());
        tokio::pin!(change);
        loop {
            if changes && self.leaves() {
                return Ok(Ended::Leaves);
            }
            let room = self.room();
            let appended = self.batch(room, || {
                let woken = pacer.take()?;
                Some((schedule.take()?, Some(woken)))
            })?;
            if appended > 0 || self.held.is_some() {
                self.flush().await?;
                continue;
            }
            let Self { publisher, answers, .. } = self;
            let mut settle = |run| answers.settle(run);
            tokio::select! {
                biased;
                answered = publisher.acks(&mut settle) => answered?,
                more = pacer.released(), if room > 0 => if !more { return Ok(Ended::Over) },
                () = listener.drain() => return Ok(Ended::Over),
                () = tokio::time::sleep(CREDIT_TIMEOUT), if room == 0 => {}
                () = &mut change, if changes => {}
            }
        }
    }

    /// The window decides: as many as it allows, until the phase ends.
    async fn closed_loop(&mut self, listener: &mut Listener) -> Result<Ended, DriverError> {
        let setup = Arc::clone(&self.answers.shared.setup);
        let limit = Limit::of(&setup.scenario.phases, &setup.topology, self.id);
        let mut turn = self.turn.clone();
        let mut refilling = true;
        let mut writes = 0u32;
        loop {
            let now = self.answers.shared.now();
            if now >= limit.until || self.measured >= limit.measured || listener.drains() {
                return Ok(Ended::Over);
            }
            if self.leaves() {
                return Ok(Ended::Leaves);
            }
            let counts = setup.measured(now);
            let room = if refilling { self.room() } else { self.refill() };
            let room = if counts { room.min(limit.measured - self.measured) } else { room };
            let appended = self.batch(room, || {
                let due = Due { publisher: turn.publisher, round: turn.round, intended: now };
                turn.pass();
                Some((due, None))
            });
            self.turn = turn.clone();
            let appended = appended?;
            self.measured += if counts { appended } else { 0 };
            refilling = appended > 0;
            if appended > 0 || self.held.is_some() {
                self.flush().await?;
                writes = (writes + 1) % WRITES_A_TURN;
                if writes == 0 {
                    tokio::task::yield_now().await;
                }
            } else if setup.acks_close_window || self.window.credit() >= self.window.refill_from() {
                self.wait_for_acks(listener).await?;
            } else {
                self.wait_for_receivers(listener).await?;
            }
        }
    }

    /// Messages that may go now, or none while too little of the window is free to be worth a write.
    fn refill(&self) -> u64 {
        let room = self.room();
        if room < self.window.refill_from() { 0 } else { room }
    }

    /// Messages that may go now.
    fn room(&self) -> u64 {
        let setup = &self.answers.shared.setup;
        let closed_loop = setup.per_second.is_none();
        let unanswered = match (setup.answers, setup.acks_close_window) {
            (false, _) => u64::MAX,
            (true, true) => return self.window.size().saturating_sub(self.answers.in_flight()),
            (true, false) => UNANSWERED_MAX.saturating_sub(self.answers.in_flight()),
        };
        if closed_loop { unanswered.min(self.window.credit()) } else { unanswered }
    }

    /// Stamps and hands over up to `room` messages that `next` gives.
    fn batch(
        &mut self,
        room: u64,
        mut next: impl FnMut() -> Option<(Due, Option<Nanos>)>,
    ) -> Result<u64, DriverError> {
        let room = room.min(BATCH_MESSAGES);
        let sent = self.answers.shared.now();
        let (mut appended, mut bytes, mut broken) = (0, 0, None);
        while appended < room && bytes < BATCH_BYTES {
            let Some((due, woken)) = self.held.take().or_else(&mut next) else { break };
            match self.append(due, woken, sent) {
                Ok(Some(size)) => {
                    appended += 1;
                    bytes += size + FRAME_BYTES;
                }
                // It goes first when there is room, or another connection.
                full_or_broken => {
                    self.held = Some((due, woken));
                    broken = full_or_broken.err();
                    break;
                }
            }
        }
        if appended > 0 {
            self.answers.shared.meter.worked();
            let totals = &self.answers.shared.setup.totals;
            Totals::add(&totals.sent, appended);
            Totals::add(&totals.expected, std::mem::take(&mut self.expected));
        }
        broken.map_or(Ok(appended), Err)
    }

    /// Stamps one message and hands it to the driver, and says how large it is; `None` if the driver has no room.
    fn append(&mut self, due: Due, woken: Option<Nanos>, sent: Nanos) -> Result<Option<usize>, DriverError> {
        let Answers { shared, unanswered, .. } = &mut self.answers;
        let setup = &shared.setup;
        let lane = setup.lanes.lane(&setup.topology, due.publisher, due.round);
        let state = &shared.lanes[lane.0 as usize];
        let topic = state.topic;
        let sequence = state.next.get();
        let (payload, body_sum) = self.bodies.of(due.round, setup.sizes.size(due.publisher, due.round));
        let size = payload.len();
        if setup.stamped {
            let stamp = Stamp { publisher: due.publisher as u16, sequence, intended: due.intended };
            setup.sealer.seal(payload, topic.0, stamp, Tail { sent, body_sum });
        }
        let book = &setup.books[lane.0 as usize];
        let measured = setup.measured(due.intended);
        if measured && !state.measuring.replace(true) {
            book.begin_measure(sequence);
        }
        // Before it is handed over: a client library's thread may send it, and it may arrive, before `enqueue` returns.
        book.sent(sequence);
        let refused = match self.publisher.enqueue(topic, payload) {
            Ok(Enqueued::Yes) => None,
            Err(error) if error.kind == ErrorKind::Rejected => Some(error),
            full_or_broken => {
                book.unsent(sequence);
                return full_or_broken.map(|_| None);
            }
        };
        state.next.set(sequence + 1);
        if let Some(error) = refused {
            book.rejected(sequence);
            self.error.get_or_insert(error);
            return Ok(Some(size));
        }
        self.expected += state.copies;
        self.window.sent(lane);
        let woken = woken.map_or(sent, |woken| woken.max(due.intended));
        shared.trail.borrow_mut().sent(MessageId { lane: lane.0, sequence }, woken);
        shared.recorder.borrow_mut().sent(setup.times(due.intended, Some(sent)), woken, sent);
        if setup.answers {
            unanswered.push(Waiting { lane, sequence, intended: due.intended, sent });
        }
        Ok(Some(size))
    }

    /// Writes what was handed over.
    async fn flush(&mut self) -> Result<(), DriverError> {
        let Self { publisher, answers, window, .. } = self;
        publisher.flush(&mut |run| answers.settle(run)).await?;
        window.refresh(&answers.shared.setup.progress);
        answers.shared.roll();
        self.reply(true);
        Ok(())
    }

    /// Answers receivers that ask about slow messages; `open` while the system may still answer.
    fn reply(&mut self, open: bool) {
        let Self { id, replies, answers, .. } = self;
        let setup = &answers.shared.setup;
        replies.reply(&setup.inquiries, *id, &answers.shared.trail.borrow(), open && setup.answers);
    }

    /// Waits for an answer, the end, or the time after which answers are overdue.
    async fn wait_for_acks(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        let Self { publisher, answers, .. } = self;
        let mut settle = |run| answers.settle(run);
        tokio::select! {
            answered = publisher.acks(&mut settle) => answered,
            () = listener.drain() => Ok(()),
            () = tokio::time::sleep(CREDIT_TIMEOUT) => Ok(()),
        }
    }

    /// Waits for the slowest receiver to move; gives the credit back if none does for too long.
    async fn wait_for_receivers(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        let Self { publisher, answers, window, .. } = self;
        let setup = Arc::clone(&answers.shared.setup);
        let mut settle = |run| answers.settle(run);
        tokio::select! {
            biased;
            () = window.moved(&setup.progress) => return Ok(()),
            answered = publisher.acks(&mut settle) => return answered,
            () = listener.drain() => return Ok(()),
            () = tokio::time::sleep(CREDIT_TIMEOUT) => {}
        }
        window.forgive();
        Ok(())
    }

    /// Waits for the answers that are still to come.
    async fn last_answers(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        let Self { publisher, answers, .. } = self;
        while answers.unanswered.open() > 0 {
            let mut settle = |run| answers.settle(run);
            tokio::select! {
                answered = publisher.acks(&mut settle) => answered?,
                () = listener.stop() => return Ok(()),
            }
        }
        Ok(())
    }
}

/// What a connection says when it is done.
#[derive(Debug)]
pub(super) struct Report {
    /// Why it was opened again or ended early, or the first refusal.
    pub(super) errors: Vec<DriverError>,
    /// The longest time without an answer.
    pub(super) silence: Silence,
    /// Credit that came back without being accounted for.
    pub(super) forgiven: u64,
    /// What receivers asked about slow messages, and the answers.
    pub(super) traces: Vec<(MessageId, Trace)>,
}
