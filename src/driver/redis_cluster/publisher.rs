//! The publishing side of sharded Pub/Sub: SPUBLISH to the node that serves a topic's slot.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::lane::Lane;
use super::map::fetch_any;
use super::slots::{Node, Redirection, SlotMap, redirection, slot_of};
use super::{Happened, NAME};
use crate::driver::redis::{Address, FRAME_BYTES, broken, check_length, disconnected, fatal, open};
use crate::driver::runs::Runs;
use crate::driver::socket::OUTPUT_BYTES;
use crate::driver::{AckRun, DriverError, Enqueued, ErrorKind, Outcome, Publisher};
use crate::scenario::{TopicId, Topology};
use crate::wire::resp::{PublishFrame, Reply, append_command, integer_run, scan};

/// Bytes of frames kept for want of an answer, before a flush waits for answers.
const KEPT_BYTES: usize = 64 << 20;

/// Number of no message: the ASKING in front of one that was sent on with ASK.
const ASKING: u64 = u64::MAX;

/// A publishing connection: a socket to each node.
#[derive(Debug)]
pub struct ShardedPublisher {
    address: Address,
    topology: Topology,
    lanes: Vec<Lane>,
    /// By topic: its slot and the index of its lane.
    home: Vec<(u16, usize)>,
    /// By topic; built at the first message there.
    frames: Vec<Option<PublishFrame>>,
    enqueued: u64,
    happened: Arc<Happened>,
    /// A refusal was put into the log already.
    told: bool,
}

impl ShardedPublisher {
    pub(super) async fn open(
        seeds: &[Address],
        topology: &Topology,
        happened: Arc<Happened>,
    ) -> Result<Self, DriverError> {
        let (address, map) = fetch_any(seeds).await?;
        let mut lanes = Vec::new();
        for node in &map.nodes {
            let there = address.of_node(&node.host, node.port);
            // A node that is gone is waited for: its topics are refused, those of the others are not.
            let socket = match open(&there, 0).await {
                Err(error) if error.kind == ErrorKind::Disconnected => None,
                opened => Some(opened?),
            };
            let mut lane = Lane::new(node.clone(), there, socket);
            lane.lost = lane.socket.is_none();
            lanes.push(lane);
        }
        if lanes.iter().all(|lane| lane.lost) {
            return Err(disconnected(NAME, "no node of the cluster answers"));
        }
        Ok(Self {
            address: address.clone(),
            home: homes(topology, &map)?,
            frames: vec![None; topology.topics as usize],
            topology: topology.clone(),
            lanes,
            enqueued: 0,
            happened,
            told: false,
        })
    }

    /// The lane to a node; one that is new is opened on the way.
    fn lane_to(&mut self, node: &Node) -> usize {
        self.lanes.iter().position(|lane| lane.node == *node).unwrap_or_else(|| {
            let there = self.address.of_node(&node.host, node.port);
            self.lanes.push(Lane::new(node.clone(), there, None));
            self.lanes.len() - 1
        })
    }

    /// Understands what a lane's node has answered; whether anything was.
    fn take(&mut self, index: usize, runs: &mut Runs<'_, impl FnMut(AckRun)>) -> Result<bool, DriverError> {
        let mut any = false;
        loop {
            let lane = &mut self.lanes[index];
            let Some(socket) = &mut lane.socket else { break };
            let run = integer_run(socket.unread());
            socket.consume(run.length);
            any |= run.count > 0;
            for _ in 0..run.count {
                let waiting = lane.answer(|_| ()).ok_or_else(unasked)?;
                runs.add(waiting.number, Outcome::Accepted);
            }
            let Some(socket) = &mut lane.socket else { break };
            let (refusal, length) = match scan(socket.unread()).map_err(|error| broken(NAME, error))? {
                None => break,
                Some((Reply::Integer(_), length)) => (None, length),
                Some((Reply::Simple(_), length))
                    if lane.waiting.front().is_some_and(|waiting| waiting.number == ASKING) =>
                {
                    socket.consume(length);
                    lane.answer(|_| ());
                    continue;
                }
                Some((Reply::Error(text), length)) => (Some(text.to_vec()), length),
                Some(_) => {
                    return Err(fatal(NAME, "a node answers SPUBLISH with something else than a number"));
                }
            };
            socket.consume(length);
            any = true;
            match refusal {
                None => {
                    let waiting = lane.answer(|_| ()).ok_or_else(unasked)?;
                    runs.add(waiting.number, Outcome::Accepted);
                }
                Some(text) => self.refused(index, &text, runs)?,
            }
        }
        self.lanes[index].compact();
        Ok(any)
    }

    /// A node refuses the oldest message of a lane: it goes where the node says, or is rejected.
    fn refused(
        &mut self,
        index: usize,
        text: &[u8],
        runs: &mut Runs<'_, impl FnMut(AckRun)>,
    ) -> Result<(), DriverError> {
        let mut frame = Vec::new();
        let lane = &mut self.lanes[index];
        let waiting = lane.answer(|bytes| frame.extend_from_slice(bytes)).ok_or_else(unasked)?;
        if waiting.number == ASKING {
            // The message behind it is answered for itself.
            self.tell(text);
            return Ok(());
        }
        let Some(Redirection { slot, node, once }) = redirection(text, &lane.node.host) else {
            self.tell(text);
            runs.add(waiting.number, Outcome::Rejected);
            return Ok(());
        };
        let to = self.lane_to(&node);
        if once {
            Happened::add(&self.happened.asked, 1);
        } else {
            self.home.iter_mut().filter(|(known, _)| *known == slot).for_each(|(_, lane)| *lane = to);
            Happened::add(&self.happened.redirected, 1);
        }
        if self.lanes[to].lost {
            runs.add(waiting.number, Outcome::Rejected);
        } else {
            if once {
                self.lanes[to].put(ASKING, waiting.topic, |bytes| append_command(bytes, &[b"ASKING"]));
            }
            self.lanes[to].put(waiting.number, waiting.topic, |bytes| bytes.extend_from_slice(&frame));
        }
        Ok(())
    }

    /// The first refusal of a connection goes to the log with its words; all are counted.
    fn tell(&mut self, text: &[u8]) {
        if !self.told {
            self.told = true;
            tracing::warn!("{NAME}: SPUBLISH was refused: {}", String::from_utf8_lossy(text));
        }
    }

    /// A node is lost; an error once all are.
    fn lose(&mut self, index: usize, error: DriverError) -> Result<(), DriverError> {
        if error.kind != ErrorKind::Disconnected {
            return Err(error);
        }
        let lane = &mut self.lanes[index];
        tracing::warn!("{NAME}: the connection to {} broke", lane.node);
        Happened::add(&self.happened.broken, 1);
        lane.lose();
        if self.lanes.iter().all(|lane| lane.lost) { Err(error) } else { Ok(()) }
    }

    /// Reads from every node what has come; whether anything was answered.
    fn poll_answers(
        &mut self,
        cx: &mut Context<'_>,
        runs: &mut Runs<'_, impl FnMut(AckRun)>,
    ) -> Result<bool, DriverError> {
        let mut any = false;
        for index in 0..self.lanes.len() {
            while let Poll::Ready(read) = self.lanes[index].poll_read(cx) {
                match read {
                    Ok(()) => any |= self.take(index, runs)?,
                    Err(error) => self.lose(index, error)?,
                }
            }
        }
        Ok(any)
    }

    /// Writes to every node; `true` once all is written and not too much waits for answers.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Result<bool, DriverError> {
        let mut done = true;
        for index in 0..self.lanes.len() {
            match self.lanes[index].poll_write(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.lose(index, error)?,
                Poll::Pending => done = false,
            }
        }
        Ok(done && self.lanes.iter().map(Lane::kept).sum::<usize>() <= KEPT_BYTES)
    }
}

impl Publisher for ShardedPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        check_length(NAME, payload)?;
        let Some(&(_, index)) = self.home.get(topic.0 as usize) else {
            return Err(fatal(NAME, format!("there is no topic {}", topic.0)));
        };
        let more = self.topology.prefix.len() + FRAME_BYTES + payload.len();
        let unwritten: usize = self.lanes.iter().map(Lane::unwritten).sum();
        let kept: usize = self.lanes.iter().map(Lane::kept).sum();
        if unwritten > 0 && unwritten + more > OUTPUT_BYTES || kept > KEPT_BYTES {
            return Ok(Enqueued::Full);
        }
        let lane = &mut self.lanes[index];
        if lane.lost {
            let what = format!("{}, which serves this topic, is gone", lane.node);
            return Err(DriverError::new(ErrorKind::Rejected, NAME, what));
        }
        let slot = &mut self.frames[topic.0 as usize];
        let frame =
            slot.get_or_insert_with(|| PublishFrame::sharded(self.topology.topic_name(topic).as_bytes()));
        lane.put(self.enqueued, topic.0, |bytes| frame.append(bytes, payload));
        self.enqueued += 1;
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            let mut runs = Runs::new(each);
            loop {
                if self.poll_out(cx)? {
                    return Poll::Ready(Ok(()));
                }
                if !self.poll_answers(cx, &mut runs)? {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            let mut runs = Runs::new(each);
            let any = self.poll_answers(cx, &mut runs)?;
            // What was redirected is on its way again.
            self.poll_out(cx)?;
            if any && runs.came { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}

/// The slot of each topic, and the index of the node that serves it.
fn homes(topology: &Topology, map: &SlotMap) -> Result<Vec<(u16, usize)>, DriverError> {
    let home = |topic| {
        let slot = slot_of(topology.topic_name(TopicId(topic)).as_bytes());
        map.owner(slot)
            .map(|node| (slot, node))
            .ok_or_else(|| fatal(NAME, format!("nobody serves slot {slot}")))
    };
    (0..topology.topics).map(home).collect()
}

fn unasked() -> DriverError {
    fatal(NAME, "a node answers more messages than it was sent")
}
