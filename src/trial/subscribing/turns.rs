//! Whose message it was that carries no stamp. Nobody knows, so the connections that write to its topic take turns, for
//! each receiver by itself: a closed loop waits for the slowest receiver, and all of them have to say the same.

use std::collections::HashMap;

use crate::scenario::{LaneId, TopicId, Topology};

/// Publishing connections, as they take turns.
#[derive(Debug)]
pub(super) struct Turns {
    /// The connections that write to each topic.
    of_topic: Vec<Vec<u32>>,
    /// Messages that each receiver had of a topic that several connections write to.
    taken: HashMap<(usize, TopicId), usize>,
}

impl Turns {
    pub(super) fn new(topology: &Topology) -> Self {
        let mut of_topic = vec![Vec::new(); topology.topics as usize];
        for lane in (0..topology.lanes()).map(LaneId) {
            let own: &mut Vec<u32> = &mut of_topic[topology.topic_of(lane).0 as usize];
            let connection = topology.publisher_of(lane) % topology.publisher_connections;
            if !own.contains(&connection) {
                own.push(connection);
            }
        }
        Self { of_topic, taken: HashMap::new() }
    }

    /// The connection that a receiver's next message of a topic counts for; `None` if nobody writes there.
    pub(super) fn next(&mut self, receiver: usize, topic: TopicId) -> Option<u32> {
        match self.of_topic.get(topic.0 as usize)?.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => {
                let taken = self.taken.entry((receiver, topic)).or_default();
                let connection = several[*taken % several.len()];
                *taken += 1;
                Some(connection)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn turns(publishers: u32, connections: u32, topics: u32) -> Turns {
        let text = format!(
            "name = 'x'\n[workload]\npayload = '1B'\nrate = '1k/s'\npublishers = {publishers}\n\
             publisher_connections = {connections}\ntopics = {topics}\n[phases]\nmeasure = '1s'\n\
             [[target]]\nname = 'a'\ndriver = 'loopback'\n"
        );
        let scenario = Scenario::parse(&text, "x", &[]).unwrap();
        Turns::new(&Topology::of(&scenario.workload, ""))
    }

    #[test]
    fn a_topic_of_one_publisher_counts_for_its_connection() {
        let mut turns = turns(10, 4, 10);
        for topic in 0..10 {
            let seen: Vec<_> = (0..3).map(|receiver| turns.next(receiver, TopicId(topic))).collect();
            assert_eq!(seen, [Some(topic % 4); 3], "topic {topic}");
        }
        assert_eq!(turns.next(0, TopicId(10)), None);
    }

    #[test]
    fn every_receiver_gives_every_connection_of_a_topic_the_same_share() {
        let mut turns = turns(4, 2, 1);
        // Two receivers hear the same messages in turn.
        let mut shares = [[0; 2]; 2];
        for _ in 0..100 {
            for (receiver, share) in shares.iter_mut().enumerate() {
                share[turns.next(receiver, TopicId(0)).unwrap() as usize] += 1;
            }
        }
        assert_eq!(shares, [[50; 2]; 2]);
    }
}
