use super::*;
use crate::driver::readers;
use crate::driver::socket::Place;
use crate::scenario::{Delivery, Subscribe, Topology};

const NAME: &str = "redis-under-test";

fn topology() -> Topology {
    Topology {
        publishers: 2,
        publisher_connections: 1,
        subscribers: 2,
        subscriber_connections: 1,
        topics: 2,
        subscribe: Subscribe::All,
        delivery: Delivery::FanOut,
        payload_max: 16,
        prefix: "test.".to_owned(),
        ..Topology::default()
    }
}

#[test]
fn urls_say_where_and_who_and_no_error_repeats_a_password() {
    let address = Address::parse(NAME, "redis://ann:s3cret@somewhere:7000/2").unwrap();
    assert_eq!(address.place, Place::Tcp("somewhere".to_owned(), 7000));
    assert_eq!((address.username.as_deref(), address.password.as_deref()), (Some("ann"), Some("s3cret")));
    assert_eq!(address.database, 2);
    assert!(!format!("{address:?}").contains("s3cret"));
    let unix = Address::parse(NAME, "unix:///run/redis.sock").unwrap();
    assert_eq!(unix.place, Place::Unix("/run/redis.sock".into()));
    for wrong in
        ["nats://ann:s3cret@somewhere", "rediss://ann:s3cret@somewhere?ca=/nowhere", "redis://ann:s3cret@:x"]
    {
        let error = Address::parse(NAME, wrong).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
    }
}

#[test]
fn two_subscribers_of_a_topic_on_one_connection_are_refused_with_the_number_to_set() {
    let shared = topology();
    let error = Readers::new(NAME, &shared, &shared.subscriptions_on(0)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fatal);
    assert!(error.remedy.unwrap().contains("subscriber_connections = 2"));
    let apart = Topology { subscriber_connections: 2, ..topology() };
    assert_eq!(Readers::new(NAME, &apart, &apart.subscriptions_on(1)).unwrap().channels().len(), 2);
}

#[test]
fn a_pattern_means_nothing_but_the_names_that_begin_like_it() {
    assert_eq!(readers::pattern("bm000001"), "bm000001*");
    assert_eq!(readers::pattern("a*b?[c]^\\"), "a\\*b\\?\\[c\\]\\^\\\\*");
}

#[test]
fn one_pattern_stands_for_all_topics_and_one_each_for_some() {
    let apart = Topology { subscriber_connections: 2, ..topology() };
    let of =
        |topology: &Topology| Readers::new(NAME, topology, &topology.subscriptions_on(0)).unwrap().patterns();
    assert_eq!(of(&apart), ["test.*"]);
    let paired = Topology { subscribe: Subscribe::Paired, ..apart };
    assert_eq!(of(&paired), ["test.000000*"]);
    let two = Topology { subscribe: Subscribe::Paired, ..topology() };
    assert_eq!(of(&two), ["test.000000*", "test.000001*"]);
}
