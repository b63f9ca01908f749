//! What all threads of a trial know: fixed before the first of them starts.

use std::sync::Arc;

use super::extent::ledger_extent;
use super::inquiries::Inquiries;
use super::signal::Totals;
use crate::clock::{Clock, Nanos};
use crate::driver::Guarantees;
use crate::load::{Lanes, Pace, Presence, Progress, Sizes};
use crate::measure::{LaneBook, STAMP_BYTES, Sealer, Times, window_for};
use crate::scenario::{DualWrite, Extent, LaneId, Scenario, Target, TopicId, Topology};

/// What all threads of a trial know.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) scenario: Scenario,
    pub(super) topology: Topology,
    pub(super) clock: Clock,
    /// Seeds everything random of this trial.
    pub(super) seed: u64,
    pub(super) sealer: Sealer,
    /// Publishers' side of the ledger, by lane.
    pub(super) books: Vec<Arc<LaneBook>>,
    /// Position of a lane among the lanes of each receiver that reads it.
    pub(super) slot_of_lane: Vec<u32>,
    /// Deliveries expected of a message, by topic.
    pub(super) copies_of_topic: Vec<u32>,
    pub(super) totals: Totals,
    pub(super) progress: Progress,
    /// What receivers ask publishing connections about slow messages.
    pub(super) inquiries: Inquiries,
    /// Whether payloads are large enough to carry a stamp.
    pub(super) stamped: bool,
    /// How the schedule asks for messages; `None` is as fast as the window allows.
    pub(super) pace: Option<Pace>,
    /// Messages per second of all publishers, the mean over the measured phase.
    pub(super) per_second: Option<f64>,
    /// The topic of each message.
    pub(super) lanes: Lanes,
    /// The size of each message.
    pub(super) sizes: Sizes,
    /// Whether publishers get answers.
    pub(super) answers: bool,
    /// Whether an answer ends a message's time in flight (else its slowest receiver does, at rate max).
    pub(super) acks_close_window: bool,
    /// Start of the measured phase, since the start of the trial; payloads without a stamp can't be told
    /// apart by phase, so there everything counts.
    pub(super) measure_from: Nanos,
    /// The new system, where there are two.
    dual_write: Option<DualWrite>,
}

impl Setup {
    /// Everything that can be known of a trial of `scenario` before it starts.
    pub(super) fn new(
        scenario: &Scenario,
        target: &Target,
        guarantees: &Guarantees,
        (clock, seed): (Clock, u64),
        nonce: u64,
    ) -> Self {
        let topology = Topology::of(&scenario.workload, "busmark-t");
        let workload = &scenario.workload;
        let pace = Pace::of(workload, &scenario.phases);
        let warm_up = scenario.phases.warm_up.as_secs_f64();
        let end = match scenario.phases.measure {
            Extent::Time(time) => warm_up + time.as_secs_f64(),
            Extent::Messages(_) => warm_up,
        };
        // Without a subscriber an answer is all that ever comes back.
        let deaf = scenario.workload.subscribers == 0;
        let per_second = pace.as_ref().map(|pace| pace.mean(warm_up, end));
        let lanes = topology.lanes();
        let ledger_window = window_for(&ledger_extent(scenario, target));
        let stamped = workload.payload.min() >= STAMP_BYTES;
        let readers = |lane| if stamped { topology.copies(topology.topic_of(lane)) } else { 0 };
        let topics: Vec<TopicId> = (0..topology.topics).map(TopicId).collect();
        Self {
            sealer: Sealer::new(nonce),
            books: (0..lanes)
                .map(|lane| Arc::new(LaneBook::new(ledger_window, readers(LaneId(lane)))))
                .collect(),
            slot_of_lane: slots(&topology),
            copies_of_topic: topics.iter().map(|&topic| topology.copies(topic)).collect(),
            totals: Totals::default(),
            progress: Progress::new(&topology),
            inquiries: Inquiries::new(topology.publisher_connections),
            stamped,
            pace,
            per_second,
            lanes: Lanes::new(workload.topic_choice, topology.topics, seed),
            sizes: Sizes::new(&workload.payload, seed),
            answers: guarantees.answers(),
            acks_close_window: guarantees.promises_acked()
                || (guarantees.answers() && deaf && per_second.is_none()),
            measure_from: if stamped { scenario.phases.warm_up.as_nanos() as Nanos } else { 0 },
            dual_write: target.dual_write.clone(),
            scenario: scenario.clone(),
            topology,
            clock,
            seed,
        }
    }

    /// When a subscribing connection comes, goes, reads, or moves.
    pub(super) fn presence_of(&self, connection: u32) -> Presence {
        let moves = self.dual_write.as_ref().and_then(|dual_write| dual_write.move_of(connection));
        moves.map_or_else(
            || Presence::of_subscriber(&self.scenario, connection),
            |at| Presence::moving(&self.scenario, at),
        )
    }

    /// The deliveries that a message on `lane` asks for.
    #[inline]
    pub(super) fn copies(&self, lane: LaneId) -> u64 {
        u64::from(self.copies_of_topic[self.topology.topic_of(lane).0 as usize])
    }

    /// The times of a message as recorders want them: at rate max, what is called intended is only the moment
    /// of its batch, good for telling phases apart and for nothing else.
    #[inline]
    pub(super) fn times(&self, intended: Nanos, sent: Option<Nanos>) -> Times {
        Times { measured: self.measured(intended), intended: self.per_second.map(|_| intended), sent }
    }

    /// Whether a message intended then belongs to the measured phase.
    #[inline]
    pub(super) fn measured(&self, intended: Nanos) -> bool {
        intended >= self.measure_from
    }
}

/// Position of each lane among the lanes of its receivers. All receivers that read a lane read the same
/// lanes, so one table serves them all.
fn slots(topology: &Topology) -> Vec<u32> {
    let mut slots = vec![u32::MAX; topology.lanes() as usize];
    for receiver in 0..topology.receivers() {
        let lanes = topology.lanes_of_receiver(receiver);
        if lanes.first().is_some_and(|lane| slots[lane.0 as usize] != u32::MAX) {
            continue;
        }
        for (slot, lane) in lanes.iter().enumerate() {
            slots[lane.0 as usize] = slot as u32;
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Subscribe};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_table_gives_each_lane_its_place_at_every_receiver(
            publishers in 1u32..20, subscribers in 1u32..20, topics in 1u32..20,
            paired in any::<bool>(), queue in any::<bool>()
        ) {
            let topology = Topology {
                publishers, publisher_connections: 1, subscribers, subscriber_connections: subscribers, topics,
                subscribe: if paired { Subscribe::Paired } else { Subscribe::All },
                delivery: if queue { Delivery::WorkQueue } else { Delivery::FanOut },
                payload_max: 0, prefix: "t".into(),
                ..Topology::default()
            };
            let slots = slots(&topology);
            for receiver in 0..topology.receivers() {
                for (slot, lane) in topology.lanes_of_receiver(receiver).iter().enumerate() {
                    prop_assert_eq!(slots[lane.0 as usize], slot as u32);
                }
            }
        }
    }
}
