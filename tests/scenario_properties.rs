//! What holds of every scenario and of every text: printing and parsing are inverse, and nothing panics.

use std::path::PathBuf;
use std::time::Duration;

use busmark::scenario::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0u64), 1u64..10_000_000_000, (0u64..10_000).prop_map(|ms| ms * 1_000_000)]
        .prop_map(Duration::from_nanos)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "\\PC{0,10}", Just("\"quoted\" \\ {port}\n\t".to_owned())]
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        Just(Fill::Zero),
        Just(Fill::Random),
        (0.0..=1.0f64).prop_map(|compressibility| Fill::Text { compressibility }),
        "[a-z/. ]{1,12}".prop_map(|path| Fill::File(PathBuf::from(path))),
        (1u32..64, 1u32..1000).prop_map(|(bodies, repeat)| Fill::Pool { bodies, repeat }),
    ]
}

fn payload() -> impl Strategy<Value = PayloadSize> {
    prop_oneof![
        (0usize..1 << 20).prop_map(PayloadSize::Fixed),
        vec((33usize..1 << 20, 0.001..100.0f64), 1..4).prop_map(PayloadSize::Weighted),
        (33usize..1000, 0usize..1000).prop_map(|(from, more)| PayloadSize::Range(from, from + more)),
        (100usize..1000, 0.0..5.0f64).prop_map(|(median, sigma)| PayloadSize::Lognormal {
            median,
            sigma,
            min: 40,
            max: 2000
        }),
    ]
}

/// Zipf only with few topics would need actors to fit; the other choices print alike.
fn topic_choice() -> impl Strategy<Value = TopicChoice> {
    Just(TopicChoice::RoundRobin)
}

fn shape_over_time() -> impl Strategy<Value = Shape> {
    let long = (1u64..10_000).prop_map(|ms| Duration::from_millis(ms + 100_000));
    let factor = 0.001..1000.0f64;
    prop_oneof![
        Just(Shape::Flat),
        (vec(factor.clone(), 1..5), long.clone())
            .prop_map(|(factors, every)| Shape::Steps { factors, every }),
        (factor.clone(), span(), long.clone()).prop_map(|(to, after, over)| Shape::Ramp { to, after, over }),
        (factor, span(), long.clone()).prop_map(|(factor, after, over)| Shape::Spike { factor, after, over }),
        (0.0..=1.0f64, long).prop_map(|(amplitude, period)| Shape::Sine { amplitude, period }),
        (0.0..1e6f64, 0.001..1e6f64)
            .prop_map(|(second, rate)| Shape::Replay(vec![(0.0, rate), (second + 1.0, 0.0)])),
    ]
}

fn arrival() -> impl Strategy<Value = Arrival> {
    prop_oneof![Just(Arrival::Constant), Just(Arrival::Poisson), (2u32..1000).prop_map(Arrival::Burst)]
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        span().prop_map(Delay::Fixed),
        span().prop_map(Delay::Exponential),
        (0.0..=1.0f64, span()).prop_map(|(share, of)| Delay::Share { share, of }),
        (span(), 0.0..=5.0f64).prop_map(|(median, sigma)| Delay::Lognormal { median, sigma }),
    ]
}

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![Just(Rate::Max), (1u64..1 << 40).prop_map(|milli| Rate::PerSecond(milli as f64 / 1000.0))]
}

/// Actors and connections that suit every driver.
fn actors() -> impl Strategy<Value = (u32, u32, u32, u32)> {
    (1u32..2000, 1u32..2000, 1u32..500).prop_flat_map(|(publishers, subscribers, topics)| {
        (Just(publishers), 1..=publishers, Just(subscribers), Just(topics))
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let shape = (actors(), any::<bool>());
    let traffic = (
        (payload(), topic_choice(), shape_over_time(), arrival()),
        fill(),
        rate(),
        1u32..10_000_000,
        delay(),
        1u32..65_536,
    );
    (shape, traffic).prop_map(|((actors, paired), traffic)| {
        let (publishers, publisher_connections, subscribers, topics) = actors;
        let (
            (payload, topic_choice, shape, arrival),
            fill,
            rate,
            in_flight,
            processing_delay,
            processing_concurrency,
        ) = traffic;
        let (shape, arrival) =
            if rate == Rate::Max { (Shape::Flat, Arrival::Constant) } else { (shape, arrival) };
        Workload {
            payload,
            topic_choice,
            shape,
            fill,
            publishers,
            publisher_connections,
            subscribers,
            subscriber_connections: subscribers,
            topics,
            subscribe: if paired { Subscribe::Paired } else { Subscribe::All },
            subscribe_by: SubscribeBy::Name,
            delivery: Delivery::FanOut,
            audiences: Vec::new(),
            rate,
            arrival,
            in_flight,
            processing_delay,
            processing_concurrency,
            reconnect: (in_flight % 2 == 0).then(|| Duration::from_millis(u64::from(in_flight))),
            churn: Churn { subscribers: 0.0, publishers: 0.0, away: Duration::from_millis(100) },
        }
    })
}

fn loopback() -> impl Strategy<Value = DriverConfig> {
    (0.0..=1.0f64, 0.0..=1.0f64, 0.0..=1.0f64, 0.0..=1.0f64, span(), span(), span()).prop_map(
        |(drop, duplicate, reorder, corrupt, delay, stall_at, stall_for)| {
            DriverConfig::Loopback(LoopbackOptions {
                drop,
                duplicate,
                reorder,
                corrupt,
                delay,
                stall_at,
                stall_for,
            })
        },
    )
}

fn jetstream() -> impl Strategy<Value = DriverConfig> {
    let one_of = (any::<bool>(), any::<bool>(), 0usize..3, 0usize..3);
    (one_of, 1u64..1 << 40, 0u32..10_000_000, 1u32..100_000).prop_map(
        |((always, push, ack, deliver), nanos, max_ack_pending, pull_batch)| {
            DriverConfig::Jetstream(JetstreamOptions {
                client: if always { Client::Wire } else { Client::Library },
                storage: Storage::File,
                replicas: 1,
                sync: if always { Sync::Always } else { Sync::Interval(Duration::from_nanos(nanos)) },
                consumer: if push { ConsumerKind::Push } else { ConsumerKind::Pull },
                ack: [AckPolicy::None, AckPolicy::All, AckPolicy::Explicit][ack],
                ack_wait: Duration::from_nanos(nanos),
                max_ack_pending,
                deliver: [DeliverPolicy::All, DeliverPolicy::New, DeliverPolicy::Last][deliver],
                pull_batch,
                max_messages: u64::from(pull_batch),
                max_age: Duration::from_nanos(nanos),
                max_deliver: ack as u32,
                ..JetstreamOptions::default()
            })
        },
    )
}

fn managed(redis: bool) -> impl Strategy<Value = Broker> {
    let config = vec((text(), text()), 0..3).prop_map(|mut config| {
        config.sort();
        config.dedup_by(|a, b| a.0 == b.0);
        config
    });
    let servers = if redis { vec![Server::Redis, Server::Valkey] } else { vec![Server::Nats] };
    let server = proptest::sample::select(servers);
    let managed = (config, server, any::<bool>()).prop_map(move |(config, server, unix)| {
        let transport = if unix && redis { Transport::Unix } else { Transport::Tcp };
        Broker::Managed(Managed { server, nodes: 1, transport, config })
    });
    prop_oneof![managed, Just(Broker::Bundled)]
}

fn redis_broker() -> impl Strategy<Value = Broker> {
    let command = (vec(text(), 1..4), span()).prop_map(|(mut argv, ready_within)| {
        argv.push("{port}".to_owned());
        Broker::Command { argv, url: "redis://127.0.0.1:{port}".to_owned(), ready_within }
    });
    let external = Just(Broker::External { url: "redis://example:6379/0".to_owned() });
    prop_oneof![managed(true), command, external]
}

fn system() -> impl Strategy<Value = (DriverConfig, Broker)> {
    let redis = (any::<bool>(), 0usize..3).prop_map(|(wire, protocol)| {
        DriverConfig::RedisPubsub(RedisPubsubOptions {
            client: if wire { Client::Wire } else { Client::Library },
            protocol: [SubscriberProtocol::Resp2, SubscriberProtocol::Resp3, SubscriberProtocol::Mixed]
                [protocol],
        })
    });
    let nats_core = any::<bool>().prop_map(|wire| {
        DriverConfig::NatsCore(NatsCoreOptions { client: if wire { Client::Wire } else { Client::Library } })
    });
    let cluster = any::<bool>().prop_map(|classic| {
        let mode = if classic { ClusterMode::Classic } else { ClusterMode::Sharded };
        DriverConfig::RedisCluster(RedisClusterOptions { mode })
    });
    let streams = (0usize..2, 0u64..1000, any::<bool>(), 1u32..1000).prop_map(
        |(consumer, max_length, exact, batch)| {
            DriverConfig::RedisStreams(RedisStreamsOptions {
                consumer: [StreamConsumer::Group, StreamConsumer::Read][consumer],
                max_length,
                trim: if exact { Trim::Exact } else { Trim::Approximate },
                aof: Aof::Off,
                batch,
                claim_after: if consumer == 0 { Duration::from_millis(max_length) } else { Duration::ZERO },
            })
        },
    );
    let kafka = (0usize..3, span(), 1u32..5, any::<bool>(), 1u32..1_000_000).prop_map(
        |(acks, linger, partitions, assign, batch_bytes)| {
            DriverConfig::Kafka(KafkaOptions {
                acks: [KafkaAcks::None, KafkaAcks::Leader, KafkaAcks::All][acks],
                linger,
                batch_bytes,
                idempotence: acks == 2 && !assign,
                compression: [Compression::None, Compression::Lz4, Compression::Snappy][acks],
                partitions,
                replicas: 1,
                consumer: if assign { KafkaConsumer::Assign } else { KafkaConsumer::Group },
                commit_interval: linger + Duration::from_millis(1),
                flush: if assign { KafkaFlush::Always } else { KafkaFlush::Os },
            })
        },
    );
    prop_oneof![
        (kafka, Just(Broker::External { url: "kafka://a:1,kafka://b:2".to_owned() })),
        (loopback(), Just(Broker::None)),
        (redis, redis_broker()),
        (
            cluster,
            (3u32..17).prop_map(|nodes| {
                let config = Vec::new();
                Broker::Managed(Managed { server: Server::Valkey, nodes, transport: Transport::Tcp, config })
            })
        ),
        (streams, Just(Broker::External { url: "rediss://ann:${PW}@example:6379/0?ca=x".to_owned() })),
        (nats_core, managed(false)),
        (jetstream(), managed(false)),
    ]
}

fn targets() -> impl Strategy<Value = Vec<Target>> {
    vec((system(), any::<bool>()), 1..4).prop_map(|systems| {
        let target = |(index, ((driver, broker), optional))| Target {
            name: format!("t-{index}.x"),
            driver,
            broker,
            optional,
            dual_write: None,
            price_per_hour: optional.then_some(0.29),
        };
        systems.into_iter().enumerate().map(target).collect()
    })
}

fn expects() -> impl Strategy<Value = Vec<Expect>> {
    let texts = prop_oneof![
        Just("lost == 0"),
        Just("t-0.x.lost <= 2 * t-0.x.duplicate"),
        Just("service_time_us_p99 < 5ms @ phase=measure"),
        Just("loss_ratio < 0.1% @ point=payload=1KiB"),
    ];
    let one = (texts, any::<bool>(), option::of(text()), option::of(text()));
    vec(one, 0..3).prop_map(|all| {
        let expect = |(written, scoped, claim, source)| {
            let mut expect = Expect::parse(written).expect("an expectation");
            if scoped && expect.left.target.is_none() {
                expect.left.target = Some("t-0.x".to_owned());
            }
            Expect { claim, source, ..expect }
        };
        all.into_iter().map(expect).collect()
    })
}

prop_compose! {
    fn scenario()(
        name in "[a-z0-9-]{1,20}",
        description in text(),
        workload in workload(),
        times in (span(), 1u64..100_000, any::<bool>(), span()),
        trials in (1u32..1000, 0u64..1 << 63),
        targets in targets(),
        expects in expects(),
    ) -> Scenario {
        let (warm_up, extent, by_time, drain) = times;
        let measure = if by_time || workload.rate != Rate::Max {
            Extent::Time(Duration::from_micros(extent))
        } else {
            Extent::Messages(extent)
        };
        let (count, seed) = trials;
        Scenario {
            name,
            description,
            scale: if by_time { Scale::Local } else { Scale::Full },
            workload,
            phases: Phases { warm_up, measure, drain },
            trials: Trials { count, seed },
            targets,
            expects,
            events: Vec::new(),
            behaviours: Vec::new(),
            sweep: Sweep::default(),
            points: Vec::new(),
        }
    }
}

/// A right scenario with a few characters taken out, put in or doubled.
fn nearly_right() -> impl Strategy<Value = String> {
    let edits = vec((any::<prop::sample::Index>(), "[\\[\\]{}=\".,0-9a-zé \n]{0,3}", 0usize..4), 1..5);
    (0..shipped::list().len(), edits).prop_map(|(index, edits)| {
        let mut characters: Vec<char> = shipped::list()[index].text.chars().collect();
        for (place, insert, remove) in edits {
            let at = place.index(characters.len());
            let end = (at + remove).min(characters.len());
            characters.splice(at..end, insert.chars());
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn a_scenario_printed_with_all_defaults_parses_back_unchanged(scenario in scenario()) {
        let printed = scenario.to_toml();
        let parsed = Scenario::parse(&printed, "printed", &[]);
        prop_assert_eq!(parsed.map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?, scenario);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}(\n\\PC{0,30}){0,3}") {
        let _ = Scenario::parse(&text, "fuzz", &[]).map_err(|error| error.to_string());
    }

    #[test]
    fn no_nearly_right_text_makes_the_parser_panic_and_what_parses_prints_and_parses(text in nearly_right()) {
        match Scenario::parse(&text, "fuzz", &[]) {
            Ok(scenario) => {
                prop_assert_eq!(Scenario::parse(&scenario.to_toml(), "printed", &[]).unwrap(), scenario);
            }
            Err(error) => prop_assert!(!error.problems.is_empty() && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_override_makes_the_parser_panic(
        key in "(workload|target|expect|trials|x)?(\\[[0-9]{0,2}\\]?|\\.(redis-8|\"nats|rate|options|)){0,3}",
        value in "([0-9]{0,3}|max|\\{ ?a ?= ?1 ?\\}|\\[\\]|\\PC{0,6})",
    ) {
        if let Ok(set) = Override::parse(&format!("{key}={value}")) {
            let text = shipped::find("redis-vs-jetstream").unwrap().text;
            let _ = Scenario::parse(text, "fuzz", &[set]).map_err(|error| error.to_string());
        }
    }
}
