//! The publishing side: messages go into librdkafka's queue, and its delivery reports come back as runs of answers.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;

use super::NAME;
use super::link::{disconnected, fatal, is_refusal};
use crate::driver::{AckRun, DriverError, Enqueued, ErrorKind, Outcome, Publisher};
use crate::scenario::TopicId;

/// Bytes handed to the library and not reported on, at most; one message of any size is always taken.
const UNREPORTED_BYTES: usize = 32 << 20;
/// Messages likewise.
const UNREPORTED_MESSAGES: usize = 100_000;
/// What the library keeps beside a payload, about.
const AROUND_PAYLOAD: usize = 64;

/// What became of consecutive messages; nothing where the broker's answer is missing for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report {
    first: u64,
    count: u32,
    outcome: Option<Outcome>,
}

/// Adds the report of one message.
fn add(reports: &mut Vec<Report>, number: u64, outcome: Option<Outcome>) {
    if let Some(last) = reports.last_mut()
        && last.outcome == outcome
        && last.first + u64::from(last.count) == number
        && last.count < u32::MAX
    {
        last.count += 1;
        return;
    }
    reports.push(Report { first: number, count: 1, outcome });
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<Report>,
    broken: Option<String>,
}

/// What librdkafka's thread tells a publisher.
#[derive(Debug, Default)]
pub(super) struct Reports {
    state: Mutex<State>,
    arrived: Notify,
}

impl Reports {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        let fatal = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Fatal)
        );
        if fatal {
            self.with(|state| state.broken.get_or_insert_with(|| reason.to_owned()).clone());
            self.arrived.notify_one();
        }
    }
}

impl ProducerContext for Reports {
    /// The number of the message.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(_) => Some(Outcome::Accepted),
            Err((error, _)) => {
                error.rdkafka_error_code().filter(|code| is_refusal(*code)).map(|_| Outcome::Rejected)
            }
        };
        self.with(|state| add(&mut state.reports, number as u64, outcome));
        self.arrived.notify_one();
    }
}

/// A publishing connection.
pub struct KafkaPublisher {
    producer: ThreadedProducer<Reports>,
    reports: Arc<Reports>,
    /// By topic.
    names: Arc<[String]>,
    /// The one that this connection writes to, so that the order of its messages is kept.
    partition: i32,
    /// Whether the broker answers; a report without one only says that the message left.
    answers: bool,
    next: u64,
    unreported: usize,
    limit: usize,
    taken: Vec<Report>,
}

impl KafkaPublisher {
    pub(super) fn new(
        producer: ThreadedProducer<Reports>,
        names: Arc<[String]>,
        (partition, answers): (i32, bool),
        payload_max: usize,
    ) -> Self {
        let reports = Arc::clone(producer.client().context());
        let limit = (UNREPORTED_BYTES / (payload_max + AROUND_PAYLOAD)).clamp(1, UNREPORTED_MESSAGES);
        let taken = Vec::new();
        Self { producer, reports, names, partition, answers, next: 0, unreported: 0, limit, taken }
    }

    /// Hands over the reports that have come; whether there was an answer among them.
    fn take(&mut self, each: &mut impl FnMut(AckRun)) -> Result<bool, DriverError> {
        let broken = self.reports.with(|state| {
            std::mem::swap(&mut state.reports, &mut self.taken);
            state.broken.clone()
        });
        let mut any = false;
        for Report { first, count, outcome } in self.taken.drain(..) {
            self.unreported = self.unreported.saturating_sub(count as usize);
            if let Some(outcome) = outcome.filter(|_| self.answers) {
                any = true;
                each(AckRun { first, count, outcome });
            }
        }
        match broken {
            Some(reason) if !any => Err(disconnected(reason)),
            _ => Ok(any),
        }
    }
}

impl Publisher for KafkaPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        if self.unreported >= self.limit {
            return Ok(Enqueued::Full);
        }
        let name = self.names.get(topic.0 as usize).ok_or_else(|| fatal("there is no such topic"))?;
        let record = BaseRecord::<(), [u8], usize>::with_opaque_to(name, self.next as usize)
            .partition(self.partition)
            .payload(payload);
        match self.producer.send(record) {
            Ok(()) => {
                self.next += 1;
                self.unreported += 1;
                Ok(Enqueued::Yes)
            }
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Enqueued::Full),
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let what = format!("a payload of {} bytes is above the limit", payload.len());
                    Err(DriverError::new(ErrorKind::Rejected, NAME, what))
                }
                _ => Err(disconnected(error.to_string())),
            },
        }
    }

    /// Waits for room where there is none; librdkafka writes by itself.
    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        loop {
            self.take(each)?;
            if self.unreported < self.limit {
                return Ok(());
            }
            self.reports.arrived.notified().await;
        }
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        while !self.take(each)? {
            self.reports.arrived.notified().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_in_a_row_become_one_run_and_gaps_and_other_outcomes_begin_another() {
        let mut reports = Vec::new();
        let (yes, no) = (Some(Outcome::Accepted), Some(Outcome::Rejected));
        for (number, outcome) in
            [(0, yes), (1, yes), (2, no), (3, no), (4, None), (6, yes), (5, yes), (7, yes)]
        {
            add(&mut reports, number, outcome);
        }
        let of = |first, count, outcome| Report { first, count, outcome };
        let expected =
            [of(0, 2, yes), of(2, 2, no), of(4, 1, None), of(6, 1, yes), of(5, 1, yes), of(7, 1, yes)];
        assert_eq!(reports, expected);
    }
}
