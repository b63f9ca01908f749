//! What a system promises, as data: the report groups equals and labels the rest "not alike".

use serde::{Deserialize, Serialize};

/// How often a message that was accepted may arrive; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryGuarantee {
    /// Never more than once, possibly not at all.
    AtMostOnce,
    /// At least once, possibly again.
    AtLeastOnce,
}

/// Whose answer a publisher gets; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledgement {
    /// None at all.
    None,
    /// A reply that promises nothing about delivery or storage (Redis PUBLISH).
    Reply,
    /// One node has it.
    Leader,
    /// A majority has it.
    Quorum,
}

/// When accepted messages reach the disk; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Never: memory only.
    Never,
    /// Some time after the acknowledgement.
    Interval,
    /// Before the acknowledgement.
    Always,
}

/// What a system promises under one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarantees {
    /// How often a message may arrive.
    pub delivery: DeliveryGuarantee,
    /// Whose answer a publisher gets.
    pub acknowledgement: Acknowledgement,
    /// When it reaches the disk.
    pub fsync: Durability,
    /// Copies kept.
    pub replicas: u8,
    /// Messages of one publisher on one topic arrive in order.
    pub ordered: bool,
    /// A late subscriber can read what was sent before it came.
    pub replay: bool,
    /// A message is delivered to one subscriber of a group (work queue).
    pub work_queue: bool,
    /// Subscribers can name topics by a pattern.
    #[serde(default)]
    pub patterns: bool,
    /// Obligations of the seam that the client library in use breaks, in words.
    pub deviations: Vec<String>,
}

impl Guarantees {
    /// Whether two systems may be compared without a label: all promises equal.
    #[must_use]
    pub fn alike(&self, other: &Self) -> bool {
        self.label() == other.label()
    }

    /// One short label for tables and `summary.csv`.
    #[must_use]
    pub fn label(&self) -> String {
        let delivery = match self.delivery {
            DeliveryGuarantee::AtMostOnce => "at-most-once",
            DeliveryGuarantee::AtLeastOnce => "at-least-once",
        };
        let ack = match self.acknowledgement {
            Acknowledgement::None => "no-ack",
            Acknowledgement::Reply => "reply",
            Acknowledgement::Leader => "leader-ack",
            Acknowledgement::Quorum => "quorum-ack",
        };
        let fsync = match self.fsync {
            Durability::Never => "fsync-never",
            Durability::Interval => "fsync-interval",
            Durability::Always => "fsync-always",
        };
        format!("{delivery},{ack},{fsync},r{}", self.replicas)
    }

    /// What holds whichever of two systems one reads from.
    #[must_use]
    pub fn weaker(self, other: Self) -> Self {
        Self {
            delivery: self.delivery.min(other.delivery),
            acknowledgement: self.acknowledgement.min(other.acknowledgement),
            fsync: self.fsync.min(other.fsync),
            replicas: self.replicas.min(other.replicas),
            ordered: self.ordered && other.ordered,
            replay: self.replay && other.replay,
            work_queue: self.work_queue && other.work_queue,
            patterns: self.patterns && other.patterns,
            deviations: [self.deviations, other.deviations].concat(),
        }
    }

    /// Whether an acknowledged message that is lost breaks a promise.
    #[must_use]
    pub fn promises_acked(&self) -> bool {
        matches!(self.acknowledgement, Acknowledgement::Leader | Acknowledgement::Quorum)
    }

    /// Whether publishers get any answer at all.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.acknowledgement != Acknowledgement::None
    }
}
