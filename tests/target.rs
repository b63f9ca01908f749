//! Brokers come, answer, are counted, and go, with real servers and real kills.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use busmark::scenario::{
    self, DriverConfig, JetstreamOptions, Managed, NatsCoreOptions, RedisPubsubOptions, Server, Sync, Target,
    Transport,
};
use busmark::target::{self, Broker, Found, System, TargetError};

/// What is not true within this will not become true.
const WITHIN: Duration = Duration::from_secs(10);

/// Set for the copy of this test program that plays a busmark that is killed.
const VICTIM: &str = "BUSMARK_TEST_VICTIM";

fn redis() -> DriverConfig {
    DriverConfig::RedisPubsub(RedisPubsubOptions::default())
}

fn jetstream() -> DriverConfig {
    DriverConfig::Jetstream(JetstreamOptions { sync: Sync::Always, ..JetstreamOptions::default() })
}

fn found(system: System) -> Found {
    target::find(system).expect("run scripts/brokers first")
}

fn target(driver: DriverConfig, broker: scenario::Broker) -> Target {
    Target::one("under test", driver, broker)
}

fn managed(driver: DriverConfig, config: &[(&str, &str)]) -> Target {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let managed = Managed { config, ..Managed::of(&driver) };
    target(driver, scenario::Broker::Managed(managed))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = busmark::clock::Clock::real();
    while !condition() {
        assert!(u128::from(clock.now()) < WITHIN.as_nanos(), "not within {WITHIN:?}: {what}");
        std::thread::yield_now();
    }
}

/// The directory of a living broker.
fn dir_of(broker: &Broker) -> PathBuf {
    broker.log().unwrap().parent().unwrap().to_owned()
}

/// Starts a managed broker, checks all it tells, ends it, checks that nothing is left.
async fn a_managed_broker_comes_and_goes(driver: DriverConfig, system: System, counter: &str) {
    let broker = Broker::start(&managed(driver, &[])).await.unwrap();
    assert_eq!(broker.version(), found(system).version);
    let (pids, dir) = (broker.pids().to_vec(), dir_of(&broker));
    assert_eq!(pids.len(), 1);
    assert!(alive(pids[0]) && dir.is_dir());

    let sample = broker.sample().unwrap();
    assert!(sample.cpu_ns > 100_000 && sample.rss_bytes > 1 << 20, "{sample:?}");
    let (first, second) = (broker.counters().await.unwrap(), broker.counters().await.unwrap());
    assert!(!first.server.is_empty());
    assert_eq!(first.server, second.server);
    assert_eq!(first.get(counter), Some(0.0), "{first:?}");
    assert!(!broker.effective_config().is_empty());

    broker.stop().await.unwrap();
    assert!(!alive(pids[0]));
    assert!(!dir.exists());
}

#[test]
fn a_managed_redis_comes_answers_and_goes_and_leaves_nothing() {
    block_on(a_managed_broker_comes_and_goes(
        redis(),
        System::Redis,
        "client_output_buffer_limit_disconnections",
    ));
}

#[test]
fn a_managed_nats_comes_answers_and_goes_and_leaves_nothing() {
    block_on(a_managed_broker_comes_and_goes(
        DriverConfig::NatsCore(NatsCoreOptions::default()),
        System::Nats,
        "slow_consumers",
    ));
}

#[test]
fn a_managed_nats_has_jetstream_with_the_scenarios_sync_and_its_counters() {
    block_on(async {
        let broker = Broker::start(&managed(jetstream(), &[("max_payload", "2MB")])).await.unwrap();
        let counters = broker.counters().await.unwrap();
        assert_eq!(counters.get("jetstream_messages"), Some(0.0), "{counters:?}");
        let setting = |name: &str| {
            broker.effective_config().iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(setting("max_payload"), Some("2097152"));
        assert_eq!(setting("jetstream_config_sync_always"), Some("true"), "{:?}", broker.effective_config());
        broker.stop().await.unwrap();
    });
}

#[test]
fn the_users_settings_reach_redis() {
    block_on(async {
        let broker = Broker::start(&managed(redis(), &[("maxclients", "77")])).await.unwrap();
        assert!(broker.effective_config().contains(&("maxclients".to_owned(), "77".to_owned())));
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_managed_valkey_says_its_own_version_and_a_unix_socket_is_all_there_is_of_it() {
    let managed = Managed { server: Server::Valkey, transport: Transport::Unix, ..Managed::of(&redis()) };
    block_on(async {
        let broker = Broker::start(&target(redis(), scenario::Broker::Managed(managed))).await.unwrap();
        assert_eq!(broker.version(), found(System::Valkey).version);
        assert!(broker.version().starts_with("9."), "{}", broker.version());
        let socket = dir_of(&broker).join("redis.sock");
        assert_eq!(broker.url(), format!("unix://{}", socket.display()));
        assert!(socket.exists() && broker.counters().await.unwrap().get("connected_clients").is_some());
        broker.stop().await.unwrap();
        assert!(!socket.exists());
    });
}

#[test]
fn three_redis_masters_are_one_broker_whose_nodes_are_sampled_killed_and_brought_back_one_by_one() {
    let three = Managed { nodes: 3, ..Managed::of(&redis()) };
    block_on(async {
        let mut broker = Broker::start(&target(redis(), scenario::Broker::Managed(three))).await.unwrap();
        let pids = broker.pids().to_vec();
        let dirs: Vec<PathBuf> =
            broker.nodes().iter().map(|node| node.log().unwrap().parent().unwrap().to_owned()).collect();
        assert_eq!((broker.nodes().len(), pids.len()), (3, 3));
        assert!(dirs[0] != dirs[1] && dirs[1] != dirs[2], "each node has a directory of its own");
        assert!(broker.samples().iter().all(|sample| sample.unwrap().rss_bytes > 1 << 20));
        assert_eq!(broker.counters().await.unwrap().server.split(' ').count(), 3);

        broker.node_mut(1).unwrap().kill().await;
        assert!(!alive(pids[1]) && alive(pids[0]) && alive(pids[2]));
        assert_eq!(broker.samples()[1], None);
        assert!(broker.died().is_none(), "what a trial killed did not die by itself");
        assert_eq!(broker.counters().await.unwrap().server.split(' ').count(), 2);
        let before = broker.sample().unwrap();
        broker.restart_node(1).await.unwrap();
        assert!(broker.sample().unwrap().cpu_ns > before.cpu_ns, "what it used before is not forgotten");
        assert_ne!(broker.pids()[1], pids[1]);
        assert_eq!(known_nodes(broker.nodes()[1].url()).await, 3, "it finds the others again");
        assert!(broker.node_mut(3).is_err());

        let pids = broker.pids().to_vec();
        broker.stop().await.unwrap();
        assert!(pids.iter().all(|&pid| !alive(pid)) && dirs.iter().all(|dir| !dir.exists()));
    });
}

/// Nodes of a Redis cluster that one of them knows.
async fn known_nodes(url: &str) -> usize {
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let nodes: String = redis::cmd("CLUSTER").arg("NODES").query_async(&mut connection).await.unwrap();
    nodes.lines().count()
}

#[test]
fn a_secret_comes_from_the_environment_and_a_missing_one_is_named_without_the_address() {
    let url = "redis://:${BUSMARK_TEST_NO_SUCH_VARIABLE}@127.0.0.1:1".to_owned();
    let error = block_on(Broker::start(&target(redis(), scenario::Broker::External { url })))
        .expect_err("the variable is not set");
    assert!(error.to_string().contains("BUSMARK_TEST_NO_SUCH_VARIABLE is not set"), "{error}");
}

#[test]
fn many_brokers_at_once_find_free_ports_of_their_own() {
    block_on(async {
        let target = managed(redis(), &[]);
        let (a, b, c) = tokio::join!(Broker::start(&target), Broker::start(&target), Broker::start(&target));
        let brokers = [a.unwrap(), b.unwrap(), c.unwrap()];
        let mut urls: Vec<&str> = brokers.iter().map(Broker::url).collect();
        urls.sort_unstable();
        urls.dedup();
        assert_eq!(urls.len(), 3);
        for broker in brokers {
            broker.stop().await.unwrap();
        }
    });
}

#[test]
fn a_server_that_refuses_its_configuration_is_reported_in_its_own_words_and_its_log_is_kept() {
    let error = block_on(Broker::start(&managed(redis(), &[("no-such-directive", "1")])))
        .expect_err("it can't start");
    let TargetError::Exited { log_tail, log, .. } = error else { panic!("{error}") };
    assert!(log_tail.contains("no-such-directive"), "{log_tail}");
    assert!(fs::read_to_string(&log).unwrap().contains("no-such-directive"));
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[test]
fn a_command_that_never_answers_is_given_up_in_time_and_is_gone() {
    let command = scenario::Broker::Command {
        argv: ["/bin/sh", "-c", "echo on my way; sleep 1000"].map(str::to_owned).to_vec(),
        url: "redis://127.0.0.1:{port}".to_owned(),
        ready_within: Duration::from_millis(300),
    };
    let error = block_on(Broker::start(&target(redis(), command))).expect_err("it never answers");
    let TargetError::NotReady { log_tail, log, .. } = error else { panic!("{error}") };
    assert_eq!(log_tail, "on my way");
    let dir = log.parent().unwrap();
    until("nothing runs in its directory", || !anybody_works_in(dir));
    fs::remove_dir_all(dir).unwrap();
}

/// Whether a living process has its working directory there.
fn anybody_works_in(dir: &Path) -> bool {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == dir))
}

#[test]
fn a_command_of_the_users_is_given_its_port_and_directory_and_its_children_go_with_it() {
    let server = found(System::Redis);
    let script = format!("{} --port {{port}} --save '' --dir {{dir}} & wait", server.path.display());
    let command = scenario::Broker::Command {
        argv: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
        url: "redis://127.0.0.1:{port}".to_owned(),
        ready_within: WITHIN,
    };
    block_on(async {
        let broker = Broker::start(&target(redis(), command)).await.unwrap();
        let pids = broker.pids().to_vec();
        assert_eq!(pids.len(), 2, "the shell and the server");
        broker.stop().await.unwrap();
        assert!(pids.iter().all(|&pid| !alive(pid)), "{pids:?}");
    });
}

#[test]
fn the_bundled_jetstream_engine_has_the_counters_of_a_managed_server() {
    block_on(async {
        let driver = DriverConfig::Jetstream(JetstreamOptions::default());
        let mut counted = Vec::new();
        let managed = scenario::Broker::Managed(scenario::Managed::of(&driver));
        for broker in [scenario::Broker::Bundled, managed] {
            let broker = Broker::start(&target(driver.clone(), broker)).await.unwrap();
            let counters = broker.counters().await.unwrap();
            assert_eq!(counters.get("jetstream_messages"), Some(0.0), "{counters:?}");
            assert!(counters.get("mem").is_some_and(|bytes| bytes > 1e6), "{counters:?}");
            counted.push(counters.values.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
            broker.stop().await.unwrap();
        }
        assert_eq!(counted[0], counted[1]);
    });
}

#[test]
fn the_bundled_engine_is_a_process_of_its_own_that_is_asked_and_ended_like_any_other() {
    block_on(async {
        let broker = Broker::start(&target(redis(), scenario::Broker::Bundled)).await.unwrap();
        let (pids, dir) = (broker.pids().to_vec(), dir_of(&broker));
        assert_eq!(pids.len(), 1);
        assert_ne!(pids[0], std::process::id());
        assert!(broker.version().starts_with("8."), "{}", broker.version());
        assert!(broker.sample().unwrap().rss_bytes > 1 << 20);
        assert!(broker.counters().await.is_ok());
        broker.stop().await.unwrap();
        assert!(!alive(pids[0]) && !dir.exists());
    });
}

#[test]
fn an_external_broker_is_used_where_it_is_and_has_no_sample() {
    block_on(async {
        let theirs = Broker::start(&managed(redis(), &[])).await.unwrap();
        let external = scenario::Broker::External { url: theirs.url().to_owned() };
        let ours = Broker::start(&target(redis(), external)).await.unwrap();
        assert_eq!((ours.pids(), ours.sample(), ours.version()), (&[][..], None, theirs.version()));
        assert_eq!(ours.counters().await.unwrap().server, theirs.counters().await.unwrap().server);
        ours.stop().await.unwrap();
        assert!(theirs.counters().await.is_ok(), "stopping ours must not end theirs");
        theirs.stop().await.unwrap();
    });
}

#[test]
fn an_external_broker_that_is_not_there_is_unreachable_and_its_password_is_not_shown() {
    let external = scenario::Broker::External { url: "redis://:secret@127.0.0.1:1".to_owned() };
    let error = block_on(Broker::start(&target(redis(), external))).expect_err("nothing listens on port 1");
    assert!(matches!(error, TargetError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn a_killed_broker_answers_no_more_and_a_paused_one_answers_again_once_resumed() {
    block_on(async {
        let mut broker = Broker::start(&managed(redis(), &[])).await.unwrap();
        broker.pause();
        assert!(broker.counters().await.is_err());
        broker.resume();
        assert!(broker.counters().await.is_ok());
        broker.kill().await;
        assert!(broker.counters().await.is_err());
        assert_eq!(broker.sample(), None);
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_broker_that_ends_by_itself_is_noticed() {
    block_on(async {
        let mut broker = Broker::start(&managed(redis(), &[])).await.unwrap();
        let pid = broker.pids()[0];
        assert!(Command::new("kill").args(["-SEGV", &pid.to_string()]).status().unwrap().success());
        let mut died = None;
        until("the crash is noticed", || {
            died = broker.died();
            died.is_some()
        });
        let Some(TargetError::Exited { log, .. }) = died else { panic!("{died:?}") };
        assert!(broker.stop().await.is_err());
        fs::remove_dir_all(log.parent().unwrap()).unwrap();
    });
}

#[test]
fn dropping_a_broker_ends_it() {
    block_on(async {
        let broker = Broker::start(&managed(redis(), &[])).await.unwrap();
        let (pid, dir) = (broker.pids()[0], dir_of(&broker));
        drop(broker);
        assert!(!alive(pid) && !dir.exists());
    });
}

#[test]
fn a_busmark_that_is_interrupted_terminated_or_killed_leaves_no_broker_and_no_directory() {
    for signal in ["INT", "TERM", "KILL", "HUP"] {
        // Whoever runs the tests in the background may have them ignore some of these signals.
        let mut victim = Command::new("env")
            .arg("--default-signal=INT,HUP")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "the_victim_starts_brokers_and_waits", "--nocapture"])
            .env(VICTIM, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.find_map(|line| line.split_once("brokers: ").map(|(_, told)| told.to_owned()));
        let told = told.expect("the victim says what it started");
        let (pids, dirs): (Vec<&str>, Vec<&str>) =
            told.split(' ').partition(|word| word.chars().all(|c| c.is_ascii_digit()));
        let pids: Vec<u32> = pids.iter().map(|pid| pid.parse().unwrap()).collect();
        assert!(pids.len() == 2 && dirs.len() == 2, "{told}");
        assert!(pids.iter().all(|&pid| alive(pid)));

        let signalled = Command::new("kill").args([&format!("-{signal}"), &victim.id().to_string()]).status();
        assert!(signalled.unwrap().success());
        victim.wait().unwrap();
        until(signal, || pids.iter().all(|&pid| !alive(pid)));
        until(signal, || dirs.iter().all(|dir| !Path::new(dir).exists()));
    }
}

/// Not a test by itself: what the test above runs and kills. One of its brokers is paused.
#[test]
#[expect(clippy::print_stdout, reason = "the test that runs this one reads it")]
fn the_victim_starts_brokers_and_waits() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    block_on(async {
        let mut redis = Broker::start(&managed(redis(), &[])).await.unwrap();
        let nats = Broker::start(&managed(jetstream(), &[])).await.unwrap();
        redis.pause();
        println!(
            "brokers: {} {} {} {}",
            redis.pids()[0],
            nats.pids()[0],
            dir_of(&redis).display(),
            dir_of(&nats).display()
        );
        std::future::pending::<()>().await;
    });
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_busmark_without_the_driver_for_kafka_says_how_to_build_one() {
    let kafka = DriverConfig::Kafka(scenario::KafkaOptions::default());
    let error = block_on(Broker::start(&managed(kafka, &[]))).unwrap_err();
    assert!(error.to_string().contains("--features kafka"), "{error}");
}

#[cfg(feature = "kafka")]
#[test]
fn a_managed_kafka_comes_answers_and_goes_and_leaves_nothing() {
    let kafka = DriverConfig::Kafka(scenario::KafkaOptions::default());
    let lines = [("num.io.threads", "3")];
    block_on(async {
        let broker = Broker::start(&managed(kafka, &lines)).await.unwrap();
        let (dir, pid) = (dir_of(&broker), broker.pids()[0]);
        assert_eq!(broker.version(), found(System::Kafka).version);
        assert!(broker.url().starts_with("kafka://127.0.0.1:"), "{}", broker.url());
        let settings = broker.effective_config();
        assert!(settings.contains(&("num.io.threads".to_owned(), "3".to_owned())), "{settings:?}");
        assert!(broker.sample().unwrap().rss_bytes > 50 << 20);
        broker.stop().await.unwrap();
        assert!(!dir.exists() && !alive(pid));
    });
}
