//! What connections see of each other, on whichever threads they are served.

use crate::node::Node;
use crate::support::{Conn, Served, command};

#[test]
fn order_on_a_channel_is_one_for_all_subscribers_across_publishers() {
    let server = Served::engine(super::THREADS);
    let mut subscribers: Vec<Conn> = (0..4).map(|_| server.connect()).collect();
    for (index, conn) in subscribers.iter_mut().enumerate() {
        if index % 2 == 1 {
            conn.ask("HELLO 3");
        }
        conn.ask("SUBSCRIBE race");
    }
    const EACH: usize = 2_000;
    std::thread::scope(|scope| {
        for publisher in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut conn = server.connect();
                for number in 0..EACH {
                    conn.send(&["PUBLISH", "race", &format!("{publisher}:{number}")]);
                }
                for _ in 0..EACH {
                    assert_eq!(conn.next().text(), "4");
                }
            });
        }
    });
    let seen: Vec<Vec<String>> = subscribers
        .iter_mut()
        .map(|conn| (0..3 * EACH).map(|_| conn.next().items()[2].text()).collect())
        .collect();
    for other in &seen[1..] {
        assert_eq!(other, &seen[0]);
    }
    for publisher in 0..3 {
        let own = seen[0].iter().filter_map(|text| text.strip_prefix(&format!("{publisher}:")));
        assert!(own.map(|number| number.parse::<usize>().unwrap()).eq(0..EACH));
    }
}

/// Subscribers by pattern, spread over the event loops.
fn watchers(server: &Served, count: usize, pattern: &str) -> Vec<Conn> {
    let watcher = |_| {
        let mut conn = server.connect();
        conn.ask(&format!("PSUBSCRIBE {pattern}"));
        conn
    };
    (0..count).map(watcher).collect()
}

/// The channel and the payload of the next `count` messages by pattern.
fn seen(conn: &mut Conn, count: usize) -> Vec<(String, String)> {
    let message = |_| {
        let message = conn.next();
        (message.items()[2].text(), message.items()[3].text())
    };
    (0..count).map(message).collect()
}

#[test]
fn who_listens_to_many_channels_sees_all_publishers_in_one_order() {
    const EACH: usize = 1_000;
    let server = Served::engine(super::THREADS);
    let mut watchers = watchers(&server, 5, "race*");
    std::thread::scope(|scope| {
        for publisher in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut conn = server.connect();
                // Some at once, some one by one, on channels in turn.
                for number in 0..EACH {
                    let channel = format!("race{}", number / 7 % 3);
                    conn.send(&["PUBLISH", &channel, &format!("{publisher}:{number}")]);
                    if number % 100 < 20 {
                        assert_eq!(conn.next().text(), "5");
                    }
                }
                (0..EACH * 8 / 10).for_each(|_| assert_eq!(conn.next().text(), "5"));
            });
        }
    });
    let orders: Vec<_> = watchers.iter_mut().map(|conn| seen(conn, 4 * EACH)).collect();
    assert!(orders.windows(2).all(|two| two[0] == two[1]), "they saw different orders");
    for publisher in 0..4 {
        let prefix = format!("{publisher}:");
        let own = orders[0].iter().filter_map(|(_, text)| text.strip_prefix(&prefix));
        assert!(own.map(|number| number.parse::<usize>().unwrap()).eq(0..EACH));
    }
}

#[test]
fn once_confirmed_a_subscription_gets_and_counts_what_any_connection_publishes() {
    let server = Served::engine(super::THREADS);
    let mut publishers: Vec<Conn> = (0..4).map(|_| server.connect()).collect();
    let mut subscribers: Vec<Conn> = (0..4).map(|_| server.connect()).collect();
    for round in 0..300usize {
        let (channel, by) = (format!("c{}", round % 5), round % 4);
        for (count, subscriber) in subscribers.iter_mut().enumerate() {
            subscriber.ask(&format!("SUBSCRIBE {channel}"));
            let publisher = &mut publishers[(round + count) % 4];
            let receivers = publisher.ask(&format!("PUBLISH {channel} {round}")).text();
            assert_eq!(receivers, (count + 1).to_string());
            assert_eq!(subscriber.next().items()[2].text(), round.to_string());
        }
        assert_eq!(publishers[by].ask(&format!("PUBSUB NUMSUB {channel}")).items()[1].text(), "4");
        for (index, subscriber) in subscribers.iter_mut().enumerate() {
            (index + 1..4).for_each(|_| assert!(subscriber.next().begins_with("message")));
        }
        for (left, leaver) in (0..4).rev().enumerate() {
            let confirmed = subscribers[leaver].ask(&format!("UNSUBSCRIBE {channel}"));
            assert_eq!(confirmed.items()[2].text(), "0");
            let receivers = publishers[by].ask(&format!("PUBLISH {channel} after")).text();
            assert_eq!(receivers, (3 - left).to_string());
            subscribers[..leaver].iter_mut().for_each(|conn| assert_eq!(conn.next().items()[2].text(), "after"));
        }
        assert_eq!(publishers[by].ask("PUBSUB CHANNELS c*").items().len(), 0);
    }
}

#[test]
fn what_a_transaction_publishes_is_not_mixed_with_what_others_publish() {
    const ROUNDS: usize = 300;
    let server = Served::engine(super::THREADS);
    let mut watchers = watchers(&server, 3, "*");
    std::thread::scope(|scope| {
        for publisher in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut conn = server.connect();
                for round in 0..ROUNDS {
                    let mut bytes = command(&["MULTI"]);
                    for part in 0..4 {
                        let text = format!("{publisher}:{round}:{part}");
                        bytes.extend(command(&["PUBLISH", ["a", "b"][part % 2], &text]));
                    }
                    bytes.extend(command(&["EXEC"]));
                    conn.raw(&bytes);
                    (0..5).for_each(|_| drop(conn.next()));
                    let counts = conn.next();
                    assert!(counts.items().iter().all(|count| count.text() == "3"), "{counts:?}");
                }
            });
        }
    });
    for conn in &mut watchers {
        for four in seen(conn, 3 * 4 * ROUNDS).chunks(4) {
            let units: Vec<&str> = four.iter().map(|(_, text)| text.rsplit_once(':').unwrap().0).collect();
            assert!(units.iter().all(|unit| *unit == units[0]), "torn apart: {four:?}");
        }
    }
}

#[test]
fn everybody_is_listed_counted_and_can_be_closed_from_any_connection() {
    let server = Served::engine(super::THREADS);
    let mut all: Vec<Conn> = (0..7).map(|_| server.connect()).collect();
    let ids: Vec<String> = all.iter_mut().map(|conn| conn.ask("CLIENT ID").text()).collect();
    all[6].ask("SUBSCRIBE x");
    let list = all[0].ask("CLIENT LIST").text();
    let listed: Vec<&str> = list.lines().map(|line| &line[3..line.find(' ').unwrap()]).collect();
    assert_eq!(listed, ids);
    assert_eq!(all[1].ask("CLIENT LIST TYPE pubsub").text().lines().count(), 1);
    let info = all[2].ask("INFO").text();
    assert!(info.contains("connected_clients:7\r\n") && info.contains("pubsub_clients:1\r\n"), "{info}");
    for victim in [3, 4, 5, 6] {
        assert_eq!(all[0].ask(&format!("CLIENT KILL ID {}", ids[victim])).text(), "1");
        assert!(all[victim].closes());
    }
    assert_eq!(all[1].ask("PUBLISH x gone").text(), "0");
    assert_eq!(all[1].ask("CONFIG SET timeout 77").text(), "OK");
    for conn in &mut all[..3] {
        assert_eq!(conn.ask("CONFIG GET timeout").items()[1].text(), "77");
    }
    assert_eq!(all[2].ask("CLIENT KILL TYPE normal SKIPME yes").text(), "2");
    assert!(all[0].closes() && all[1].closes());
    assert_eq!(all[2].ask("CLIENT LIST").text().lines().count(), 1);
}

#[test]
fn two_that_ask_of_everybody_at_once_both_get_their_answers() {
    let server = Served::engine(super::THREADS);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = server.connect();
                for _ in 0..200 {
                    assert!(matches!(conn.ask("CLIENT LIST"), Node::Leaf(..)));
                    assert!(matches!(conn.ask("INFO"), Node::Leaf(..)));
                }
            });
        }
    });
}
