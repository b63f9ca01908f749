//! What a lying server does to deliveries, whatever its protocol, and how often it did.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use busmark::prng::Prng;

/// Share of deliveries that are lied about, 0 to 1 each, and together at most 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lies {
    pub(crate) seed: u64,
    /// Not delivered.
    pub(crate) drop: f64,
    /// Delivered twice.
    pub(crate) duplicate: f64,
    /// Delivered behind the next one on the same subject.
    pub(crate) swap: f64,
    /// One bit flipped, at or behind `corrupt_from`.
    pub(crate) corrupt: f64,
    pub(crate) corrupt_from: usize,
    /// Delivered under another subject of the `topics` there are, instead of its own.
    pub(crate) misroute: f64,
    pub(crate) topics: u32,
    /// Delivered, and after it `old_payload`, which no publisher of this trial sent.
    pub(crate) stale: f64,
    pub(crate) old_payload: Vec<u8>,
    /// Each frame is written in two pieces.
    pub(crate) in_halves: bool,
    /// The frame of this delivery (from 1) is written half, and the connection is cut.
    pub(crate) cut_at: Option<u64>,
}

/// How often it lied, and how often not, in deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lied {
    pub(crate) honest: u64,
    pub(crate) dropped: u64,
    pub(crate) duplicated: u64,
    pub(crate) swapped: u64,
    pub(crate) corrupted: u64,
    pub(crate) misrouted: u64,
    pub(crate) stale: u64,
}

/// What to send.
pub(crate) struct Told {
    pub(crate) payload: Vec<u8>,
    /// Under the subject after its own, instead of its own.
    pub(crate) elsewhere: bool,
}

/// Decides about one delivery after the other.
pub(crate) struct Liar {
    pub(crate) lies: Lies,
    pub(crate) lied: Lied,
    prng: Prng,
    delivered: u64,
}

#[derive(Clone, Copy)]
enum Treatment {
    Honest,
    Drop,
    Duplicate,
    Swap,
    Corrupt,
    Misroute,
    Stale,
}

impl Liar {
    pub(crate) fn new(lies: Lies) -> Self {
        Self { prng: Prng::new(lies.seed), lies, lied: Lied::default(), delivered: 0 }
    }

    /// What to send for `payload`; `held` is what waits for a swap at the same receiver and subject.
    pub(crate) fn tell(&mut self, held: &mut Option<Vec<u8>>, payload: &[u8]) -> Vec<Told> {
        let as_is = |payload: &[u8]| Told { payload: payload.to_vec(), elsewhere: false };
        let lied = &mut self.lied;
        if let Some(held) = held.take() {
            lied.honest += 1;
            lied.swapped += 1;
            return vec![as_is(payload), as_is(&held)];
        }
        match treatment(&self.lies, &mut self.prng) {
            Treatment::Honest => {
                lied.honest += 1;
                vec![as_is(payload)]
            }
            Treatment::Drop => {
                lied.dropped += 1;
                Vec::new()
            }
            Treatment::Duplicate => {
                lied.duplicated += 1;
                vec![as_is(payload), as_is(payload)]
            }
            Treatment::Swap => {
                *held = Some(payload.to_vec());
                Vec::new()
            }
            Treatment::Corrupt => {
                lied.corrupted += 1;
                let mut payload = payload.to_vec();
                let from = self.lies.corrupt_from.min(payload.len() - 1);
                let bit = self.prng.below((payload.len() - from) as u64 * 8) as usize;
                payload[from + bit / 8] ^= 1 << (bit % 8);
                vec![as_is(&payload)]
            }
            Treatment::Misroute => {
                lied.misrouted += 1;
                vec![Told { payload: payload.to_vec(), elsewhere: true }]
            }
            Treatment::Stale => {
                lied.stale += 1;
                vec![as_is(payload), as_is(&self.lies.old_payload)]
            }
        }
    }

    /// Something waited for a swap that didn't come, and is sent as it is.
    pub(crate) fn no_swap(&mut self) {
        self.lied.honest += 1;
    }

    /// Queues the frame of a delivery, or breaks it as the lies say.
    pub(crate) fn send(&mut self, frame: &[u8], output: &mut Vec<u8>, stream: &mut TcpStream) {
        self.delivered += 1;
        let cut = self.lies.cut_at == Some(self.delivered);
        if !cut && !self.lies.in_halves {
            output.extend_from_slice(frame);
            return;
        }
        let (first, second) = frame.split_at(frame.len() / 2);
        output.extend_from_slice(first);
        flush(output, stream);
        if cut {
            let _gone_already = stream.shutdown(Shutdown::Both);
        }
        output.extend_from_slice(second);
    }

    /// The topic after `topic`, and after the last one the first.
    pub(crate) fn other_topic(&self, topic: u32) -> u32 {
        (topic + 1) % self.lies.topics.max(1)
    }
}

/// Writes all that is queued.
pub(crate) fn flush(output: &mut Vec<u8>, stream: &mut TcpStream) {
    let _a_client_that_left = stream.write_all(output);
    output.clear();
}

fn treatment(lies: &Lies, prng: &mut Prng) -> Treatment {
    let mut dice = prng.unit();
    for (share, treatment) in [
        (lies.drop, Treatment::Drop),
        (lies.duplicate, Treatment::Duplicate),
        (lies.swap, Treatment::Swap),
        (lies.corrupt, Treatment::Corrupt),
        (lies.misroute, Treatment::Misroute),
        (lies.stale, Treatment::Stale),
    ] {
        if dice < share {
            return treatment;
        }
        dice -= share;
    }
    Treatment::Honest
}
