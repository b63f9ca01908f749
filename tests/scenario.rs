//! The specification of a scenario file, seen from outside.

use std::time::Duration;

use busmark::scenario::{
    Broker, Delivery, DriverConfig, Extent, Managed, Override, PayloadSize, Rate, Scenario, ScenarioError,
    Shape, Subscribe,
};

const SKETCH: &str = r#"
name = "redis-vs-jetstream"
[workload]
payload = "1KiB"
publishers = 100
subscribers = 100
topics = 100
subscribe = "paired"
delivery = "fan_out"
rate = "20k/s"
processing_delay = "0us"
[phases]
warm_up = "2s"
measure = "10s"
drain = "5s"
[trials]
count = 5
seed = 42
[[target]]
name = "redis-8"
driver = "redis-pubsub"
broker = "managed"
[[target]]
name = "nats-2.11"
driver = "jetstream"
broker = "managed"
options = { storage = "file", ack = "explicit" }
[[expect]]
metric = "lost"
target = "nats-2.11"
is = "== 0"
"#;

const SMALLEST: &str = "name = \"x\"\n[[target]]\nname = \"a\"\ndriver = \"nats-core\"\n";

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, "x.toml", &[])
}

fn with(text: &str, sets: &[&str]) -> Result<Scenario, ScenarioError> {
    let overrides: Vec<Override> = sets.iter().map(|set| Override::parse(set).expect("KEY=VALUE")).collect();
    Scenario::parse(text, "x.toml", &overrides)
}

/// All problems of a wrong scenario, one a line.
fn mistakes(text: &str, sets: &[&str]) -> Vec<String> {
    let error = with(text, sets).expect_err("this scenario is wrong");
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn audiences_are_the_subscribers_and_each_rule_on_them_is_named() {
    let with = |workload: &str, audiences: &str, driver: &str| {
        let text = format!(
            "name = \"audiences\"\n[workload]\n{workload}\n{audiences}\n[[target]]\nname = \"x\"\ndriver = \"{driver}\"\n"
        );
        Scenario::parse(&text, "audiences", &[]).map_err(|error| error.to_string())
    };
    let two = "[[audience]]\nname = \"a\"\nsubscribers = 2\n[[audience]]\nname = \"b\"\ndelivery = \"work_queue\"\n";
    let scenario = with("", two, "nats-core").unwrap();
    assert_eq!((scenario.workload.subscribers, scenario.workload.audiences.len()), (3, 2));
    assert_eq!(Scenario::parse(&scenario.to_toml(), "again", &[]).unwrap(), scenario);
    for (workload, audiences, driver, wrong) in [
        ("subscribers = 4", two, "nats-core", "workload.subscribers"),
        ("subscribe = \"paired\"", two, "nats-core", "workload.subscribe"),
        ("delivery = \"work_queue\"", two, "nats-core", "workload.delivery"),
        ("payload = \"8B\"", two, "nats-core", "workload.payload"),
        ("", &two.replace("\"b\"", "\"a\""), "nats-core", "audience[1].name"),
        ("", two, "redis-pubsub", "can't be a work queue"),
    ] {
        let error = with(workload, audiences, driver).unwrap_err();
        assert!(error.contains(wrong), "{wrong}: {error}");
    }
}

#[test]
fn only_systems_with_patterns_are_subscribed_to_by_pattern() {
    let by_pattern = |driver: &str, options: &str| {
        let text = format!(
            "name = \"by-pattern\"\n[workload]\nsubscribe_by = \"pattern\"\n[[target]]\nname = \"x\"\ndriver = \
             \"{driver}\"\noptions = {{ {options} }}\n"
        );
        Scenario::parse(&text, "by-pattern", &[]).map(|_| ()).map_err(|error| error.to_string())
    };
    for driver in ["redis-pubsub", "nats-core", "jetstream"] {
        assert_eq!(by_pattern(driver, ""), Ok(()), "{driver}");
    }
    assert_eq!(by_pattern("redis-cluster", "mode = \"classic\""), Ok(()));
    for (driver, options) in
        [("redis-cluster", "mode = \"sharded\""), ("redis-streams", ""), ("loopback", "")]
    {
        let error = by_pattern(driver, options).unwrap_err();
        assert!(error.contains("workload.subscribe_by") && error.contains("by name only"), "{error}");
    }
}

#[test]
fn the_sketch_of_the_design_is_a_scenario() {
    let scenario = parse(SKETCH).unwrap();
    assert_eq!(scenario.workload.payload, PayloadSize::Fixed(1024));
    assert_eq!(scenario.workload.subscribe, Subscribe::Paired);
    assert_eq!(scenario.workload.rate, Rate::PerSecond(20_000.0));
    assert_eq!(scenario.phases.measure, Extent::Time(Duration::from_secs(10)));
    assert_eq!(scenario.targets.len(), 2);
    assert!(matches!(&scenario.targets[1].driver, DriverConfig::Jetstream(options) if options.replicas == 1));
    assert_eq!(scenario.expects[0].text, "lost == 0");
    assert_eq!(scenario.expects[0].left.target.as_deref(), Some("nats-2.11"));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let scenario = parse(SMALLEST).unwrap();
    let workload = &scenario.workload;
    assert_eq!((workload.publishers, workload.subscribers, workload.topics), (1, 1, 1));
    assert_eq!((workload.publisher_connections, workload.subscriber_connections), (1, 1));
    assert_eq!((workload.subscribe, workload.delivery), (Subscribe::All, Delivery::FanOut));
    assert_eq!((workload.in_flight, scenario.trials.count, scenario.trials.seed), (1000, 5, 42));
    assert_eq!(scenario.targets[0].broker, Broker::Managed(Managed::of(&scenario.targets[0].driver)));
    let many = with(SMALLEST, &["workload.publishers=100", "workload.subscribers=1000"]).unwrap();
    assert_eq!((many.workload.publisher_connections, many.workload.subscriber_connections), (8, 128));
}

#[test]
fn all_mistakes_are_reported_together_each_with_its_place() {
    let text = "name = \"x\"\n[workload]\npubishers = 3\nrate = \"50k\"\n[[target]]\nname = \"a\"\ndriver = \"redis\"\n";
    let found = mistakes(text, &[]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("x.toml:3:1: workload: unknown key `pubishers` (did you mean `publishers`?)")
    );
    assert!(found[1].starts_with("x.toml:4:8: workload.rate: `50k` has "), "{}", found[1]);
    assert!(found[1].contains("50k/s"), "{}", found[1]);
    assert!(found[2].starts_with("x.toml:7:10: target[0].driver: `redis` is not known"), "{}", found[2]);
    assert!(found[2].contains("`redis-pubsub`"), "{}", found[2]);
}

#[test]
fn a_wrong_value_says_what_was_given_and_what_is_allowed() {
    for (set, said) in [
        ("workload.publishers=0", "the number 0 is not allowed; allowed is a whole number from 1 to 65536"),
        ("workload.payload=1GiB", "1GiB is too much; allowed is up to 512MiB"),
        ("workload.rate=0/s", "a rate of zero"),
        ("workload.subscribe=each", "`each` is not known; allowed: `all`, `paired`"),
        ("workload.fill=ones", "`ones` is not known"),
        ("workload.processing_delay={ lognormal = \"1ms\" }", "`lognormal` with `sigma`"),
        ("workload=3", "the number 3 is no table"),
        ("trials.seed=-1", "the number -1 is not allowed"),
        ("phases.measure=0s", "nothing would be measured"),
        ("phases.measure=100h", "allowed is up to 72 h"),
        ("target=3", "no list"),
        ("target=[]", "has 0 of them"),
        ("target[0].name=a b", "`a b` is no name"),
        ("target[0].optional=maybe", "allowed is true or false"),
        ("target[0].options.stoage=file", "unknown key `stoage`"),
        ("target[0].broker=manged", "did you mean `managed`?"),
        ("target[0].broker={ port = 1 }", "unknown key `port`"),
        ("target[0].broker={ url = \"redis://x:1\" }", "allowed is nats://HOST:PORT"),
        ("target[0].broker={ command = [\"x\"] }", "do not go together"),
        (
            "target[0].broker={ command = [\"x\"], url = \"nats://127.0.0.1:{port}\" }",
            "no argument passes {port}",
        ),
        ("target[0].broker=none", "needs a broker"),
        ("target[0].broker={ nodes = 300 }", "300"),
        ("target[0].broker={ server = \"valkey\" }", "doesn't speak the protocol of"),
        ("target[0].broker={ transport = \"unix\" }", "listens on TCP only"),
        ("target[0].broker={ nodes = 1, url = \"nats://x\" }", "do not go together"),
        ("expect=[{ that = \"lst == 0\" }]", "nearest first: `lost`"),
        ("expect=[{ that = \"b.lost == 0\" }]", "there is no target `b`"),
        ("expect=[{ metric = \"lost\" }]", "allowed is `that` alone, or `metric` with `is`"),
        ("expect=[{ that = \"a.lost == 0\", target = \"c\" }]", "contradicts"),
        ("name=Big", "has capitals"),
    ] {
        let found = mistakes(SMALLEST, &[set]);
        assert!(found.iter().any(|line| line.contains(said)), "{set}: {found:#?}");
        assert!(found.iter().all(|line| line.starts_with(&format!("--set {set}"))), "{set}: {found:#?}");
    }
}

#[test]
fn rules_across_keys_are_held() {
    let redis = SMALLEST.replace("nats-core", "redis-pubsub");
    let loopback = SMALLEST.replace("nats-core", "loopback");
    let jetstream = SMALLEST.replace("nats-core", "jetstream");
    for (text, sets, said) in [
        (
            SMALLEST,
            vec!["workload.publisher_connections=2"],
            "2 connections for 1 publishers; allowed is 1 to 1",
        ),
        (SMALLEST, vec!["workload.subscriber_connections=0"], "0 connections for 1 subscribers"),
        (SMALLEST, vec!["workload.subscribers=0", "workload.subscribe=paired"], "`paired` needs subscribers"),
        (SMALLEST, vec!["workload.subscribers=0", "workload.delivery=work_queue"], "`work_queue` needs"),
        (SMALLEST, vec!["workload.payload=2MiB"], "more than target `a` takes; allowed is up to 1MiB"),
        (SMALLEST, vec!["workload.rate=max", "expect=[{ that = \"delivery_time_us_p99 < 1\" }]"], "rate max"),
        (&redis, vec!["workload.delivery=work_queue"], "can't be a work queue"),
        (
            &redis,
            vec!["workload.subscribers=200"],
            "can't serve two subscribers of one topic on one connection",
        ),
        (&redis, vec!["target[0].broker={ url = \"nats://x:1\" }"], "allowed is redis://HOST:PORT"),
        (
            &redis,
            vec!["target[0].broker={ url = \"redis://ann:geheim@x:1\" }"],
            "write redis://ann:${BROKER_PASSWORD}@x:1",
        ),
        (&loopback, vec!["target[0].broker=managed"], "loopback has no broker"),
        (
            &jetstream,
            vec!["target[0].options.sync=always", "target[0].options.storage=memory"],
            "never synced",
        ),
        (
            &jetstream,
            vec!["target[0].options.sync=always", "target[0].broker={ url = \"nats://x:1\" }"],
            "can't set this on a server",
        ),
        (
            &jetstream,
            vec!["target[0].options.replicas=3", "target[0].broker=bundled"],
            "3 replicas need a cluster",
        ),
        (&jetstream, vec!["target[0].options.discard=new"], "nothing is ever too much"),
        (
            &jetstream,
            vec!["workload.delivery=work_queue", "workload.subscribers=2", "target[0].options.ack=all"],
            "other subscribers of a work queue",
        ),
    ] {
        let found = mistakes(text, &sets);
        assert_eq!(found.len(), 1, "{sets:?}: {found:#?}");
        assert!(found[0].contains(said), "{sets:?}: {found:#?}");
    }
}

#[test]
fn rules_of_kafka_are_held() {
    let kafka = SMALLEST.replace("nats-core", "kafka");
    for (text, sets, said) in [
        (&kafka, vec!["target[0].broker={ url = \"nats://x:1\" }"], "allowed is kafka://HOST:PORT"),
        (&kafka, vec!["target[0].broker=bundled"], "no bundled engine speaks Kafka's protocol"),
        (&kafka, vec!["target[0].broker={ nodes = 2 }", "target[0].options.replicas=3"], "allowed is 3 to 5"),
        (
            &kafka,
            vec!["target[0].options.idempotence=true", "target[0].options.acks=\"1\""],
            "allowed with acks = \"all\"",
        ),
        (&kafka, vec!["target[0].options.commit_interval=0s"], "an interval of zero"),
        (
            &kafka,
            vec!["workload.delivery=work_queue", "target[0].options.consumer=assign"],
            "allowed in a work queue: `group`",
        ),
        (&kafka, vec!["workload.topics=50", "target[0].options.partitions=100"], "allowed are 4000 in all"),
        (
            &kafka,
            vec!["workload.subscribers=200"],
            "can't serve two subscribers of one topic on one connection",
        ),
    ] {
        let found = mistakes(text, &sets);
        assert_eq!(found.len(), 1, "{sets:?}: {found:#?}");
        assert!(found[0].contains(said), "{sets:?}: {found:#?}");
    }
}

#[test]
fn what_is_sensible_is_allowed() {
    let redis = SMALLEST.replace("nats-core", "redis-pubsub");
    for (text, sets) in [
        (SMALLEST, vec!["workload.payload=0B", "workload.subscribers=0"]),
        (SMALLEST, vec!["workload.publishers=10000", "workload.publisher_connections=8"]),
        (SMALLEST, vec!["workload.payload=2MiB", "target[0].broker={ config = { max_payload = \"8MB\" } }"]),
        (&redis, vec!["workload.subscribers=200", "workload.subscriber_connections=200"]),
        (&redis, vec!["workload.subscribers=1000", "workload.topics=1000", "workload.subscribe=paired"]),
        (&redis, vec!["workload.subscribers=200", "workload.topics=200", "workload.subscribe=paired"]),
        (&redis, vec!["workload.payload=512MiB"]),
        (
            &redis,
            vec!["target[0].broker={ command = [\"r\", \"{port}\"], url = \"redis://127.0.0.1:{port}\" }"],
        ),
    ] {
        with(text, &sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"));
    }
}

#[test]
fn an_address_with_a_password_is_not_repeated() {
    let found = mistakes(SMALLEST, &["target[0].broker.url=x"]);
    assert!(found[0].contains("allowed is nats://HOST:PORT"), "{found:#?}");
    let text = format!("{SMALLEST}broker = {{ url = \"redis://me:secret@h:1\" }}\n");
    let found = mistakes(&text, &[]);
    assert!(found[0].contains("redis://…@h:1") && !found[0].contains("secret"), "{found:#?}");
}

#[test]
fn a_broken_file_has_a_line() {
    let found = mistakes("name = \"x\"\nname == 3\n", &[]);
    assert!(found[0].starts_with("x.toml:2:"), "{found:#?}");
}

/// The smallest scenario with a sweep.
fn swept(axes: &str, combine: &str) -> String {
    format!("{SMALLEST}[sweep]\ncombine = \"{combine}\"\naxes = [{axes}]\n")
}

const PAYLOADS: &str = "{ key = \"workload.payload\", values = [\"64B\", \"1KiB\"] }";
const SUBSCRIBERS: &str = "{ key = \"workload.subscribers\", values = [1, 20] }";

#[test]
fn a_cross_product_has_every_pair_and_the_last_key_changes_quickest() {
    let scenario = parse(&swept(&format!("{PAYLOADS}, {SUBSCRIBERS}"), "cross")).unwrap();
    let names: Vec<&str> = scenario.points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "payload=64B, subscribers=1",
            "payload=64B, subscribers=20",
            "payload=1KiB, subscribers=1",
            "payload=1KiB, subscribers=20"
        ]
    );
    let last = &scenario.points[3].scenario.workload;
    assert_eq!((&last.payload, last.subscribers), (&PayloadSize::Fixed(1024), 20));
    assert_eq!(last.subscriber_connections, 20, "what depends on a swept key follows it");
    assert_eq!(scenario, parse(&scenario.to_toml()).unwrap(), "{}", scenario.to_toml());
}

#[test]
fn zipped_keys_go_side_by_side_and_have_to_be_as_long_as_each_other() {
    let scenario = parse(&swept(&format!("{PAYLOADS}, {SUBSCRIBERS}"), "zip")).unwrap();
    let names: Vec<&str> = scenario.points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["payload=64B, subscribers=1", "payload=1KiB, subscribers=20"]);
    let short = "{ key = \"workload.topics\", values = [1] }";
    let said = mistakes(&swept(&format!("{PAYLOADS}, {short}"), "zip"), &[]);
    assert!(said.len() == 1 && said[0].contains("sweep.axes: zipped lists"), "{said:?}");
}

#[test]
fn a_wrong_value_of_a_sweep_says_at_which_point_and_where_it_stands() {
    let wrong = "{ key = \"workload.payload\", values = [\"64B\", \"1KX\"] }";
    let said = mistakes(&swept(wrong, "cross"), &[]);
    assert!(said.len() == 1 && said[0].starts_with("x.toml:7:"), "{said:?}");
    assert!(
        said[0].contains("workload.payload: at payload=1KX: `1KX` has the unknown unit `KX`"),
        "{said:?}"
    );
    let typo = "{ key = \"workload.pubishers\", values = [1] }";
    assert!(mistakes(&swept(typo, "cross"), &[])[0].contains("did you mean `publishers`"));
    let whole = "{ key = \"trials.count\", values = [1] }";
    assert!(mistakes(&swept(whole, "cross"), &[])[0].contains("concerns the run as a whole"));
}

#[test]
fn only_keeps_a_target_at_every_point() {
    let text = format!("{}[[target]]\nname = \"b\"\ndriver = \"nats-core\"\n", swept(PAYLOADS, "cross"));
    let mut scenario = parse(&text).unwrap();
    scenario.keep_only(&["b".to_owned()]).unwrap();
    assert!(scenario.points.iter().all(|point| point.scenario.targets.len() == 1));
}

#[test]
fn shapes_sizes_and_choices_that_make_no_sense_are_refused_with_what_is_allowed() {
    for (set, why) in [
        ("workload.shape={ steps = [0, 0], every = \"1s\" }", "not all of them 0"),
        ("workload.shape={ ramp = 2 }", "`ramp` or `spike` with `over`"),
        ("workload.shape={ replay = [[1, 5]] }", "begin with 0"),
        ("workload.shape=spike", "{ spike = …, over = … }"),
        ("workload.payload={ from = \"2KiB\", to = \"1KiB\" }", "more than `to`"),
        ("workload.payload={ from = \"4B\", to = \"1KiB\" }", "allowed is 16B or more"),
        ("workload.payload={ lognormal = \"1KiB\", sigma = 1, max = \"100B\" }", "do not lie between"),
        ("workload.payload={ weighted = [] }", "1 or more"),
        ("workload.topic_choice=zipf", "{ zipf = EXPONENT }"),
        ("workload.arrival={ burst = 1 }", "from 2 to"),
    ] {
        let said = mistakes(SMALLEST, &[set]).join("\n");
        assert!(said.contains(why), "{set}: {said}");
    }
    let shape = "workload.shape={ sine = 0.5, period = \"1s\" }";
    assert!(mistakes(SMALLEST, &[shape, "workload.rate=max"])[0].contains("has no shape"));
    let many = ["workload.topic_choice=uniform", "workload.topics=300", "workload.publishers=300"];
    assert!(mistakes(SMALLEST, &many)[0].contains("90000 lanes"));
}

#[test]
fn a_replay_is_read_from_a_file_beside_the_scenario_and_kept_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let shape = "[workload]\nshape = { csv = \"rates.csv\" }\n";
    std::fs::write(&file, SMALLEST.replace("[[target]]", &format!("{shape}[[target]]"))).unwrap();
    let said = Scenario::load(&file, &[]).unwrap_err().to_string();
    assert!(said.contains("rates.csv"), "{said}");
    std::fs::write(dir.path().join("rates.csv"), "second,rate\n0,100\n2.5,400\n").unwrap();
    let scenario = Scenario::load(&file, &[]).unwrap();
    assert_eq!(scenario.workload.shape, Shape::Replay(vec![(0.0, 100.0), (2.5, 400.0)]));
    assert_eq!(parse(&scenario.to_toml()).unwrap(), scenario, "printed, it needs the file no more");
    std::fs::write(dir.path().join("rates.csv"), "0,100\nsoon,400\n").unwrap();
    assert!(Scenario::load(&file, &[]).unwrap_err().to_string().contains("line 2 is `soon,400`"));
}

#[test]
fn events_and_behaviours_that_can_not_be_are_refused() {
    let event = |more: &str| format!("{SMALLEST}[[event]]\nat = \"1s\"\n{more}\n");
    for (text, why) in [
        (event("do = \"pause\""), "a pause has to end"),
        (event("do = \"kill\"\nfor = \"1s\""), "a killed server stays away"),
        (event("do = \"kill\"\nnode = 3"), "has no node 3; allowed is 0 to 0"),
        (event("do = \"kill\"\ntarget = \"b\""), "there is no target `b`"),
        (format!("{SMALLEST}[[behaviour]]\nfirst = 1\njoin = \"1s\"\n"), "of 1"),
        (format!("{SMALLEST}[[behaviour]]\njoin = \"2s\"\nleave = \"1s\"\n"), "a time after `join`"),
        (format!("{SMALLEST}[[behaviour]]\nrejoin = \"1s\"\n"), "a time after `leave`"),
        (format!("{SMALLEST}[[behaviour]]\n[[behaviour]]\n"), "another [[behaviour]]"),
    ] {
        let said = mistakes(&text, &[]).join("\n");
        assert!(said.contains(why), "{text}: {said}");
    }
    let late = event("do = \"kill\"").replace("1s", "11s");
    assert!(mistakes(&late, &[])[0].contains("after the measured phase"));
    let loopback = event("do = \"kill\"").replace("nats-core", "loopback");
    assert!(mistakes(&loopback, &[])[0].contains("no process of ours"));
    let shared =
        ["workload.subscriber_churn=1", "workload.subscribers=4", "workload.subscriber_connections=2"];
    assert!(mistakes(SMALLEST, &shared)[0].contains("allowed is 4, one each"));
    let right = format!(
        "{SMALLEST}[[behaviour]]\nleave = \"1s\"\nrejoin = \"2s\"\n[[event]]\nat = \"1s\"\ndo = \"pause\"\nfor = \"5ms\"\n"
    );
    let scenario = parse(&right).unwrap();
    assert_eq!(parse(&scenario.to_toml()).unwrap(), scenario);
}
