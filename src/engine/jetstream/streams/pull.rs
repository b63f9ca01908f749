//! Requests for messages that wait to be served.

use super::outbox::Outbox;
use crate::clock::Nanos;
use crate::wire::nats::{append_header, end_headers, status_line};
use serde::Deserialize;
use std::collections::VecDeque;

/// What MSG.NEXT asks for; durations in nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NextRequest {
    pub(super) batch: u64,
    pub(super) max_bytes: u64,
    pub(super) expires: u64,
    pub(super) no_wait: bool,
    pub(super) idle_heartbeat: u64,
    pub(super) group: String,
    /// The least that is to wait for this request to be served.
    pub(super) min_pending: i64,
    /// The least that is to be under way for this request to be served.
    pub(super) min_ack_pending: i64,
    /// The client that is pinned, as it was told.
    pub(super) id: String,
    /// Whether it is JSON, which speaks of groups by leaving them out.
    #[serde(skip)]
    pub(super) structured: bool,
}

impl NextRequest {
    /// Reads a request: nothing (one message), a number, or JSON.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let text = payload.trim_ascii();
        let mut request = if text.is_empty() {
            Self::default()
        } else if let Some(batch) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
            Self { batch, ..Self::default() }
        } else {
            Self { structured: true, ..super::json::read_as(text).ok()? }
        };
        request.batch = request.batch.max(1);
        Some(request)
    }
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) reply: Box<[u8]>,
    /// Messages still wanted.
    pub(super) left: u64,
    /// Bytes still wanted; 0 is no limit.
    pub(super) bytes_left: u64,
    limited: bool,
    given: u64,
    expires: Option<Nanos>,
    no_wait: bool,
    heartbeat: Nanos,
    next_heartbeat: Nanos,
    pub(super) min_pending: i64,
    pub(super) min_ack_pending: i64,
    pub(super) id: Box<str>,
}

/// All requests that wait, in the order in which they are served.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    all: VecDeque<Pull>,
}

/// Sends a status with what a request did not get.
fn unfinished(outbox: &mut Outbox, pull: &Pull, code: u16, text: &str) {
    let mut headers = Vec::with_capacity(96);
    status_line(&mut headers, code, text);
    append_header(&mut headers, "Nats-Pending-Messages", pull.left.to_string().as_bytes());
    append_header(&mut headers, "Nats-Pending-Bytes", pull.bytes_left.to_string().as_bytes());
    end_headers(&mut headers);
    outbox.status(&pull.reply, &headers);
}

/// Sends a status and nothing else.
pub(super) fn plain_status(outbox: &mut Outbox, to: &[u8], code: u16, text: &str) {
    let mut headers = Vec::with_capacity(64);
    status_line(&mut headers, code, text);
    end_headers(&mut headers);
    outbox.status(to, &headers);
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a request.
    pub(super) fn add(&mut self, reply: &[u8], request: &NextRequest, now: Nanos) {
        self.all.push_back(Pull {
            reply: reply.into(),
            left: request.batch,
            bytes_left: request.max_bytes,
            limited: request.max_bytes > 0,
            given: 0,
            expires: (request.expires > 0).then(|| now.saturating_add(request.expires)),
            no_wait: request.no_wait,
            heartbeat: request.idle_heartbeat,
            next_heartbeat: now + request.idle_heartbeat,
            min_pending: request.min_pending,
            min_ack_pending: request.min_ack_pending,
            id: request.id.as_str().into(),
        });
    }

    /// The request to be served next.
    pub(super) fn front(&self) -> Option<&Pull> {
        self.all.front()
    }

    /// Gives the request in front the id of the client that is pinned.
    pub(super) fn name_front(&mut self, id: &str) {
        if let Some(pull) = self.all.front_mut() {
            pull.id = id.into();
        }
    }

    /// Messages that are wanted by all together.
    pub(super) fn wanted(&self) -> u64 {
        self.all.iter().map(|pull| pull.left).sum()
    }

    /// Ends the request in front with a status.
    pub(super) fn end_front(&mut self, outbox: &mut Outbox, code: u16, text: &str) {
        if let Some(pull) = self.all.pop_front() {
            plain_status(outbox, &pull.reply, code, text);
        }
    }

    /// Drops the request in front: nobody listens to it any more.
    pub(super) fn drop_front(&mut self) {
        self.all.pop_front();
    }

    /// Lets the others have their turn before the one in front.
    pub(super) fn rotate(&mut self) {
        if self.all.len() > 1 {
            self.all.rotate_left(1);
        }
    }

    /// Whether the request in front takes `size` bytes more; else it is told so and ends.
    pub(super) fn takes(&mut self, size: u64, outbox: &mut Outbox) -> bool {
        let Some(pull) = self.all.front() else { return false };
        if !pull.limited || size <= pull.bytes_left {
            return true;
        }
        unfinished(outbox, pull, 409, "Message Size Exceeds MaxBytes");
        self.all.pop_front();
        false
    }

    /// The request in front was given a message of `size` bytes.
    pub(super) fn given(&mut self, size: u64, now: Nanos, outbox: &mut Outbox) {
        let Some(pull) = self.all.front_mut() else { return };
        pull.left -= 1;
        pull.given += 1;
        pull.next_heartbeat = now + pull.heartbeat;
        if pull.limited {
            pull.bytes_left -= size;
        }
        if pull.left == 0 {
            if pull.limited && pull.bytes_left > 0 {
                unfinished(outbox, pull, 409, "Batch Completed");
            }
            self.all.pop_front();
        } else {
            self.rotate();
        }
    }

    /// There is nothing more to be had: ends the requests that don't wait.
    pub(super) fn exhausted(&mut self, outbox: &mut Outbox) {
        self.all.retain(|pull| {
            let ends = pull.no_wait && (pull.expires.is_none() || pull.given > 0);
            if ends {
                plain_status(outbox, &pull.reply, 404, "No Messages");
            }
            !ends
        });
    }

    /// Ends the requests whose time is up, and sends heartbeats to those who want them.
    pub(super) fn expire(&mut self, now: Nanos, (delivery, stream): (u64, u64), outbox: &mut Outbox) {
        self.all.retain_mut(|pull| {
            if pull.expires.is_some_and(|expires| expires <= now) {
                unfinished(outbox, pull, 408, "Request Timeout");
                return false;
            }
            if pull.heartbeat > 0 && pull.next_heartbeat <= now {
                pull.next_heartbeat = now + pull.heartbeat;
                outbox.status(&pull.reply, &heartbeat(delivery, stream, None));
            }
            true
        });
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let dues = self.all.iter().flat_map(|pull| {
            [pull.expires, (pull.heartbeat > 0).then_some(pull.next_heartbeat)].into_iter().flatten()
        });
        dues.min()
    }

    /// Ends all requests with a status.
    pub(super) fn end_all(&mut self, outbox: &mut Outbox, code: u16, text: &str) {
        for pull in self.all.drain(..) {
            plain_status(outbox, &pull.reply, code, text);
        }
    }

    /// Drops requests nobody listens to.
    pub(super) fn keep(&mut self, listened: impl Fn(&[u8]) -> bool) {
        self.all.retain(|pull| listened(&pull.reply));
    }
}

/// The headers of an idle heartbeat.
pub(super) fn heartbeat(delivery: u64, stream: u64, stalled: Option<&[u8]>) -> Vec<u8> {
    let mut headers = Vec::with_capacity(96);
    status_line(&mut headers, 100, "Idle Heartbeat");
    append_header(&mut headers, "Nats-Last-Consumer", delivery.to_string().as_bytes());
    append_header(&mut headers, "Nats-Last-Stream", stream.to_string().as_bytes());
    if let Some(stalled) = stalled {
        append_header(&mut headers, "Nats-Consumer-Stalled", stalled);
    }
    end_headers(&mut headers);
    headers
}
