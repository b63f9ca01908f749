//! Rules of the Kafka driver.

use super::broker::Broker;
use super::check::Rules;
use super::model::{Delivery, Target, Workload};
use super::options_kafka::{KAFKA_PARTITIONS_MAX, KafkaAcks, KafkaConsumer, KafkaOptions};

/// What its options and its broker can be.
pub(super) fn options(rules: &Rules<'_>, path: &str, target: &Target, options: &KafkaOptions) {
    let (broker, driver) = (format!("{path}.broker"), format!("{path}.driver"));
    rules.refuse(target.broker == Broker::Bundled, &[&broker, &driver], || {
        "no bundled engine speaks Kafka's protocol; allowed: `managed`, { url = … }, { command = … }"
            .to_owned()
    });
    let (idempotence, acks) = (format!("{path}.options.idempotence"), format!("{path}.options.acks"));
    rules.refuse(options.idempotence && options.acks != KafkaAcks::All, &[&idempotence, &acks], || {
        "what nobody answered for can't be known again; allowed with acks = \"all\"".to_owned()
    });
    let interval = format!("{path}.options.commit_interval");
    rules.refuse(options.commit_interval.is_zero(), &[&interval], || {
        "an interval of zero; allowed is 1ms or more".to_owned()
    });
}

/// What it can do of a workload.
pub(super) fn capable(rules: &Rules<'_>, path: &str, options: &KafkaOptions, workload: &Workload) {
    let consumer = format!("{path}.options.consumer");
    let queue = workload.delivery == Delivery::WorkQueue;
    rules.refuse(
        queue && options.consumer == KafkaConsumer::Assign,
        &[&consumer, "workload.delivery"],
        || "readers without a group get every message; allowed in a work queue: `group`".to_owned(),
    );
    let partitions = u64::from(options.partitions) * u64::from(workload.topics);
    let keys = [&*format!("{path}.options.partitions"), "workload.topics"];
    rules.refuse(partitions > u64::from(KAFKA_PARTITIONS_MAX), &keys, || {
        format!(
            "{} topics would have {partitions} partitions; allowed are {KAFKA_PARTITIONS_MAX} in all",
            workload.topics
        )
    });
}
