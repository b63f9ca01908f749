//! The ledger against a naive model that remembers every message, and across threads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use busmark::measure::{
    Answer, Arrival, Closing, Counts, Fate, Judging, LaneBook, LedgerSums, ReceiverLedger, Table, close_books,
};
use busmark::prng::{Prng, mix};
use proptest::prelude::*;

/// What happens to a message, or nearly does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ack { lane: usize, sequence: u64 },
    Reject { lane: usize, sequence: u64 },
    Arrive { receiver: usize, lane: usize, sequence: u64, redelivered: bool },
    Damaged { receiver: usize, lane: usize, sequence: u64 },
}

/// One random run: the shape is small, so that windows wrap many times.
#[derive(Debug, Clone)]
struct Run {
    seed: u64,
    lanes: usize,
    receivers: usize,
    messages: u64,
    measure_from_step: u64,
    answers: bool,
    /// Steps that anything may come late.
    delay: u64,
    /// Also sequences that were never sent.
    garbage: bool,
}

fn any_run(delay: impl Strategy<Value = u64>, garbage: bool) -> impl Strategy<Value = Run> {
    (any::<u64>(), 1usize..4, 1usize..4, 1u64..3000, 0u64..1500, any::<bool>(), delay).prop_map(
        move |(seed, lanes, receivers, messages, measure_from_step, answers, delay)| Run {
            seed,
            lanes,
            receivers,
            messages,
            measure_from_step: measure_from_step.min(messages - 1),
            answers,
            delay,
            garbage,
        },
    )
}

/// A model that remembers everything.
#[derive(Debug, Default)]
struct Model {
    acked: BTreeSet<(usize, u64)>,
    rejected: BTreeSet<(usize, u64)>,
    /// (receiver, lane, sequence) → came whole.
    came: BTreeMap<(usize, usize, u64), bool>,
    highest: HashMap<(usize, usize), u64>,
    /// Receivers that are away now, and what was sent while they were: (receiver, lane, sequence).
    away: BTreeSet<usize>,
    sent_while_away: BTreeSet<(usize, usize, u64)>,
    duplicate: u64,
    redelivered: u64,
    reordered: u64,
}

impl Model {
    fn arrive(&mut self, measured: bool, key: (usize, usize, u64), redelivered: bool) -> Arrival {
        let (receiver, lane, sequence) = key;
        let highest = self.highest.get(&(receiver, lane)).copied();
        let came_whole = self.came.insert(key, true) == Some(true);
        let slot = self.highest.entry((receiver, lane)).or_insert(sequence);
        *slot = (*slot).max(sequence);
        self.redelivered += u64::from(measured && redelivered);
        if came_whole {
            self.duplicate += u64::from(measured && !redelivered);
            return if redelivered { Arrival::Redelivered } else { Arrival::Duplicate };
        }
        let reordered = highest.is_some_and(|highest| highest > sequence);
        self.reordered += u64::from(measured && reordered);
        Arrival::First { reordered, measured }
    }

    fn damaged(&mut self, key: (usize, usize, u64)) {
        self.came.entry(key).or_insert(false);
        let slot = self.highest.entry((key.0, key.1)).or_insert(key.2);
        *slot = (*slot).max(key.2);
    }

    fn answer(&self, answers: bool, lane: usize, sequence: u64) -> Answer {
        if self.acked.contains(&(lane, sequence)) {
            Answer::Acked
        } else if self.rejected.contains(&(lane, sequence)) {
            Answer::Rejected
        } else if answers {
            Answer::Unknown
        } else {
            Answer::Unacknowledged
        }
    }

    fn fate(&self, receiver: usize, lane: usize, sequence: u64) -> Fate {
        match self.came.get(&(receiver, lane, sequence)) {
            Some(true) => Fate::Delivered,
            Some(false) => Fate::Corrupt,
            None => Fate::Lost,
        }
    }

    /// Tables of messages and of deliveries.
    fn books(&self, run: &Run, ranges: &[(u64, u64)]) -> (Table, Table) {
        let (mut messages, mut deliveries) = (Table::default(), Table::default());
        for (lane, sequence) in names(ranges) {
            let answer = self.answer(run.answers, lane, sequence);
            let fates: Vec<Fate> = (0..run.receivers).map(|r| self.fate(r, lane, sequence)).collect();
            fates.iter().for_each(|&fate| deliveries[(answer, fate)] += 1);
            let worst = [Fate::Lost, Fate::Corrupt, Fate::Delivered];
            let worst = worst.into_iter().find(|fate| fates.contains(fate)).expect("one of three");
            messages[(answer, worst)] += 1;
        }
        (messages, deliveries)
    }

    /// Lost of what was sent while its receiver was away.
    fn lost_away(&self, run: &Run, ranges: &[(u64, u64)]) -> u64 {
        let lost = |&&(receiver, lane, sequence): &&(usize, usize, u64)| {
            let (from, end) = ranges[lane];
            let accepted =
                matches!(self.answer(run.answers, lane, sequence), Answer::Acked | Answer::Unacknowledged);
            (from..end).contains(&sequence) && accepted && self.fate(receiver, lane, sequence) == Fate::Lost
        };
        self.sent_while_away.iter().filter(lost).count() as u64
    }

    /// Lost before the first, between, and after the last delivery of their lane.
    fn places(&self, run: &Run, ranges: &[(u64, u64)]) -> [u64; 3] {
        let mut places = [0; 3];
        let pairs = names(ranges).flat_map(|name| (0..run.receivers).map(move |receiver| (receiver, name)));
        for (receiver, (lane, sequence)) in pairs {
            let (from, end) = ranges[lane];
            let accepted =
                matches!(self.answer(run.answers, lane, sequence), Answer::Acked | Answer::Unacknowledged);
            if !accepted || self.fate(receiver, lane, sequence) != Fate::Lost {
                continue;
            }
            let came = |s: &u64| self.fate(receiver, lane, *s) == Fate::Delivered;
            if !(from..sequence).any(|s| came(&s)) {
                places[0] += 1;
            } else if (sequence..end).any(|s| came(&s)) {
                places[1] += 1;
            } else {
                places[2] += 1;
            }
        }
        places
    }
}

/// All messages of the measured phase: lane and sequence.
fn names(ranges: &[(u64, u64)]) -> impl Iterator<Item = (usize, u64)> + use<'_> {
    ranges
        .iter()
        .enumerate()
        .flat_map(|(lane, &(from, end))| (from..end).map(move |sequence| (lane, sequence)))
}

/// Plans what becomes of a message sent at `step`.
fn plan(run: &Run, prng: &mut Prng, step: u64, lane: usize, sequence: u64) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    let mut later = |prng: &mut Prng, event| events.push((step + prng.below(run.delay + 1), event));
    match prng.below(10) {
        0 => later(prng, Event::Reject { lane, sequence }),
        1 => {}
        _ => later(prng, Event::Ack { lane, sequence }),
    }
    for receiver in 0..run.receivers {
        let arrive = |redelivered| Event::Arrive { receiver, lane, sequence, redelivered };
        match prng.below(12) {
            0 | 1 => {}
            2 => [false, false].map(|flag| later(prng, arrive(flag))).into_iter().collect(),
            3 => [false, true].map(|flag| later(prng, arrive(flag))).into_iter().collect(),
            4 => later(prng, Event::Damaged { receiver, lane, sequence }),
            5 => {
                later(prng, Event::Damaged { receiver, lane, sequence });
                later(prng, arrive(true));
            }
            _ => later(prng, arrive(false)),
        }
    }
    events
}

/// Drives ledger and model through the same events, and compares arrival by arrival where the ledger says
/// that it knows.
fn drive(run: &Run) -> (Counts, Model, Vec<(u64, u64)>) {
    let mut prng = Prng::new(run.seed);
    let books: Vec<Arc<LaneBook>> =
        (0..run.lanes).map(|_| Arc::new(LaneBook::new(128, run.receivers as u32))).collect();
    let judging = Judging { ordered: true, answers: run.answers };
    let mut ledgers: Vec<ReceiverLedger> =
        (0..run.receivers).map(|_| ReceiverLedger::new(books.clone(), judging)).collect();
    let mut model = Model::default();
    let mut from = vec![u64::MAX; run.lanes];
    let mut queue: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    let mut exact = true;
    for step in 0..run.messages + run.delay + 1 {
        if step == run.measure_from_step {
            for (book, from) in books.iter().zip(&mut from) {
                *from = book.sent_count();
                book.begin_measure(*from);
            }
        }
        if step < run.messages {
            let lane = prng.below(run.lanes as u64) as usize;
            let sequence = books[lane].sent_count();
            books[lane].sent(sequence);
            model.sent_while_away.extend(model.away.iter().map(|&receiver| (receiver, lane, sequence)));
            for (at, event) in plan(run, &mut prng, step, lane, sequence) {
                queue.entry(at).or_default().push(event);
            }
        }
        if run.garbage && prng.below(20) == 0 {
            let sequence = books[0].sent_count() + prng.next_u64() % (1 << 40);
            assert_eq!(ledgers[0].note(0, sequence, false), Arrival::NeverSent);
            assert!(!ledgers[0].corrupt(0, sequence));
        }
        if prng.below(40) == 0 {
            let receiver = prng.below(run.receivers as u64) as usize;
            let goes = model.away.insert(receiver) || !model.away.remove(&receiver);
            ledgers[receiver].away(goes);
        }
        if step % 32 == 0 {
            ledgers.iter_mut().for_each(ReceiverLedger::advance);
        }
        let mut due = queue.remove(&step).unwrap_or_default();
        prng.shuffle(&mut due);
        for event in due {
            exact &= apply(event, &books, &mut ledgers, &mut model, &from);
        }
    }
    let gaps: u64 = ledgers.iter().map(ReceiverLedger::gap_total).sum();
    if exact {
        let holes = model.highest.iter().map(|(&(receiver, lane), &highest)| {
            (0..highest).filter(|&s| !model.came.contains_key(&(receiver, lane, s))).count() as u64
        });
        assert_eq!(gaps, holes.sum::<u64>(), "open holes");
    }
    let ranges = books.iter().zip(&from).map(|(book, &from)| (from, book.sent_count())).collect();
    let mut sums = LedgerSums::default();
    ledgers.into_iter().for_each(|ledger| sums += ledger.close());
    let closing = Closing { answers: run.answers, promises: true, ordered: true, ..Closing::default() };
    (close_books(&books, &sums, &closing), model, ranges)
}

/// One event to both. False if the ledger said that it was too late.
fn apply(
    event: Event,
    books: &[Arc<LaneBook>],
    ledgers: &mut [ReceiverLedger],
    model: &mut Model,
    from: &[u64],
) -> bool {
    match event {
        Event::Ack { lane, sequence } => {
            books[lane].acked(sequence);
            model.acked.insert((lane, sequence));
        }
        Event::Reject { lane, sequence } => {
            books[lane].rejected(sequence);
            model.rejected.insert((lane, sequence));
        }
        Event::Arrive { receiver, lane, sequence, redelivered } => {
            let found = ledgers[receiver].note(lane, sequence, redelivered);
            let expected = model.arrive(sequence >= from[lane], (receiver, lane, sequence), redelivered);
            if found == Arrival::BeyondWindow {
                return false;
            }
            assert_eq!(found, expected, "{event:?}");
        }
        Event::Damaged { receiver, lane, sequence } => {
            let taken = ledgers[receiver].corrupt(lane, sequence);
            model.damaged((receiver, lane, sequence));
            return taken;
        }
    }
    true
}

fn assert_exact(run: &Run, counts: &Counts, model: &Model, ranges: &[(u64, u64)]) {
    let (messages, deliveries) = model.books(run, ranges);
    let place = model.places(run, ranges);
    assert_eq!(counts.books.messages, messages, "messages");
    assert_eq!(counts.books.deliveries, deliveries, "deliveries");
    assert_eq!([counts.lost_prefix, counts.lost_middle, counts.lost_tail], place, "place");
    assert_eq!(counts.lost, place.iter().sum::<u64>());
    assert_eq!(counts.lost_away, model.lost_away(run, ranges));
    assert_eq!(counts.duplicate, Some(model.duplicate));
    assert_eq!(counts.redelivered, model.redelivered);
    assert_eq!(counts.reordered, Some(model.reordered));
    assert_eq!(counts.sent, ranges.iter().map(|(from, end)| end - from).sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn within_the_window_every_count_equals_a_model_that_remembers_everything(run in any_run(0u64..60, true)) {
        let (counts, model, ranges) = drive(&run);
        prop_assert_eq!(counts.beyond_window, 0);
        assert_exact(&run, &counts, &model, &ranges);
    }

    #[test]
    fn beyond_the_window_the_books_still_close_and_the_ledger_is_exact_or_says_that_it_is_not(
        run in any_run(0u64..2000, true)
    ) {
        let (counts, model, ranges) = drive(&run);
        let expected = counts.sent * run.receivers as u64;
        prop_assert!(counts.books.close(counts.sent, expected), "{:?}", counts);
        prop_assert_eq!(counts.expected, expected);
        if counts.beyond_window == 0 {
            let (_, deliveries) = model.books(&run, &ranges);
            prop_assert_eq!(counts.delivered, deliveries.column(Fate::Delivered));
        }
    }
}

const LANES: u64 = 4;
const RECEIVERS: u64 = 3;
const MESSAGES: u64 = 250_000;
const WARM_UP: u64 = 1000;
const ACK_LAG: u64 = 100;

type Batch = Vec<(u64, u64)>;

/// What the threaded test does to a copy, decided by its name alone: 0 drops it, 1 doubles it, 2 damages it.
fn fault(receiver: u64, lane: u64, sequence: u64) -> u64 {
    mix(receiver << 56 ^ lane << 48 ^ sequence) % 100
}

/// Publishes on two lanes and sends every batch to every receiver; every seventh message gets no answer.
fn publish(books: &[Arc<LaneBook>], first_lane: u64, inboxes: &[SyncSender<Batch>]) {
    let mut batch = Vec::new();
    for sequence in 0..MESSAGES {
        for lane in first_lane..first_lane + 2 {
            let book = &books[lane as usize];
            if sequence == WARM_UP {
                book.begin_measure(sequence);
            }
            book.sent(sequence);
            batch.push((lane, sequence));
            if sequence >= ACK_LAG && !(sequence - ACK_LAG).is_multiple_of(7) {
                book.acked(sequence - ACK_LAG);
            }
        }
        if batch.len() >= 256 || sequence + 1 == MESSAGES {
            let full = std::mem::take(&mut batch);
            inboxes.iter().for_each(|inbox| inbox.send(full.clone()).expect("the receiver listens"));
        }
    }
}

fn receive(receiver: u64, inbox: &Receiver<Batch>, ledger: &mut ReceiverLedger) {
    for (lane, sequence) in inbox.iter().flatten() {
        let copies = match fault(receiver, lane, sequence) {
            0 => 0,
            1 => 2,
            2 => {
                ledger.corrupt(lane as usize, sequence);
                0
            }
            _ => 1,
        };
        (0..copies).for_each(|_| {
            ledger.note(lane as usize, sequence, false);
        });
    }
}

#[test]
fn a_million_messages_over_threads_are_accounted_for_to_the_message() {
    let books: Vec<Arc<LaneBook>> =
        (0..LANES).map(|_| Arc::new(LaneBook::new(8192, RECEIVERS as u32))).collect();
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..RECEIVERS).map(|_| sync_channel::<Batch>(4)).unzip();
    let mut sums = LedgerSums::default();
    std::thread::scope(|scope| {
        for first_lane in [0, 2] {
            let (books, senders) = (&books, senders.clone());
            scope.spawn(move || publish(books, first_lane, &senders));
        }
        drop(senders);
        let receivers: Vec<_> = (0..)
            .zip(inboxes)
            .map(|(receiver, inbox)| {
                let judging = Judging { ordered: true, answers: true };
                let mut ledger = ReceiverLedger::new(books.clone(), judging);
                scope.spawn(move || {
                    receive(receiver, &inbox, &mut ledger);
                    ledger
                })
            })
            .collect();
        let ledgers: Vec<_> = receivers.into_iter().map(|receiver| receiver.join().expect("joins")).collect();
        // Publishers have ended: their channels are closed, or no receiver would have come back.
        ledgers.into_iter().for_each(|ledger| sums += ledger.close());
    });
    let closing = Closing { answers: true, ordered: true, ..Closing::default() };
    assert_injected(&close_books(&books, &sums, &closing));
}

fn assert_injected(counts: &Counts) {
    let injected = |kind: u64| {
        let names = (0..RECEIVERS).flat_map(|r| (0..LANES).map(move |l| (r, l)));
        names
            .map(|(r, l)| (WARM_UP..MESSAGES).filter(|&s| fault(r, l, s) == kind).count() as u64)
            .sum::<u64>()
    };
    let sent = (MESSAGES - WARM_UP) * LANES;
    assert!(counts.books.close(sent, sent * RECEIVERS), "{counts:?}");
    assert_eq!(counts.expected - counts.delivered - counts.corrupt, injected(0));
    assert_eq!((counts.duplicate, counts.corrupt), (Some(injected(1)), injected(2)));
    assert_eq!((counts.beyond_window, counts.reordered), (0, Some(0)));
    let acked = (WARM_UP..MESSAGES - ACK_LAG).filter(|s| s % 7 != 0).count() as u64 * LANES;
    assert_eq!((counts.acked, counts.unknown), (Some(acked), counts.sent - acked));
    let lost_by_any =
        |lane| (WARM_UP..MESSAGES).filter(|&s| (0..RECEIVERS).any(|r| fault(r, lane, s) == 0)).count() as u64;
    assert_eq!(counts.books.messages.column(Fate::Lost), (0..LANES).map(lost_by_any).sum::<u64>());
}
