use super::*;
use crate::driver::ErrorKind;
use crate::scenario::{self, Subscribe};

fn topology() -> Topology {
    Topology {
        publishers: 2,
        publisher_connections: 1,
        subscribers: 2,
        subscriber_connections: 1,
        topics: 2,
        subscribe: Subscribe::All,
        delivery: scenario::Delivery::FanOut,
        payload_max: 16,
        prefix: "test.".to_owned(),
        ..Topology::default()
    }
}

#[test]
fn a_work_queue_is_refused_with_a_remedy() {
    let queue = Topology { delivery: scenario::Delivery::WorkQueue, ..topology() };
    let error = check(&queue).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fatal);
    assert!(error.remedy.unwrap().contains("fan_out"));
    assert!(check(&topology()).is_ok());
}
