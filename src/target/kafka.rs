//! Apache Kafka as a managed broker: where its jars are, how they are fetched, and how nodes are started in KRaft mode,
//! each of them broker and controller.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::discover::{Found, broker_dirs, on_path};
use super::{System, TargetError};

/// Where fetched jars lie below `.brokers/`.
const FETCHED: &str = "kafka/libs";
/// The jar that makes a directory Kafka's, and its version between these.
const JAR: (&str, &str) = ("kafka_2.13-", ".jar");
/// Where a distribution keeps its jars, seen from its `bin/`.
const LIBS: &str = "../libs";

/// What a machine without Java needs.
pub(super) const JAVA_MISSING: &str = "Kafka needs Java 17 or newer, and there is no java on PATH (Debian: apt-get install openjdk-17-jre-headless)";

/// Apache Kafka and a logger, from Maven's central repository.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>busmark</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>3.6.2</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

/// Warnings and errors to stdout, which goes to the broker's log.
pub(super) const LOG4J: &str = "log4j.rootLogger=WARN, stdout\n\
    log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.stdout.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n\n";

/// Whether there is a Java to run it.
pub(super) fn has_java() -> bool {
    !on_path(&env::var_os("PATH").unwrap_or_default(), "java").is_empty()
}

/// The jars of a distribution on PATH, else fetched ones; none without Java.
pub(super) fn find() -> Option<Found> {
    let path = env::var_os("PATH").unwrap_or_default();
    let distributions =
        [System::Kafka.program(), "kafka-server-start"].map(|name| on_path(&path, name)).concat();
    let beside =
        distributions.iter().filter_map(|script| Some(fs::canonicalize(script).ok()?.parent()?.join(LIBS)));
    let fetched = broker_dirs().into_iter().map(|dir| dir.join(FETCHED));
    if has_java() { beside.chain(fetched).find_map(|libs| jars(&libs)) } else { None }
}

/// What lies in a directory of jars, if it is Kafka's.
fn jars(libs: &Path) -> Option<Found> {
    let names = fs::read_dir(libs).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let version = names.filter_map(|name| version_of(&name)).next()?;
    let path = fs::canonicalize(libs).ok()?;
    Some(Found { system: System::Kafka, path, version })
}

/// `3.6.2` of `kafka_2.13-3.6.2.jar`.
fn version_of(jar: &str) -> Option<String> {
    let version = jar.strip_prefix(JAR.0)?.strip_suffix(JAR.1)?;
    version.chars().all(|c| c.is_ascii_digit() || c == '.').then(|| version.to_owned())
}

/// Gets the jars into `brokers/kafka` with Maven, if they aren't there.
pub(super) fn fetch(brokers: &Path, say: &mut dyn FnMut(&str)) -> Result<Found, TargetError> {
    let libs = brokers.join(FETCHED);
    if let Some(found) = jars(&libs).filter(|found| found.version == System::Kafka.packaged_version()) {
        return Ok(found);
    }
    let wrong = |what: String| TargetError::Fetch { what };
    let home = brokers.join("kafka");
    let pom = home.join("pom.xml");
    let made = fs::create_dir_all(&home).and_then(|()| fs::write(&pom, POM));
    made.map_err(|error| wrong(format!("{}: {error}", pom.display())))?;
    say(&format!(
        "fetching Kafka {} ({} of Maven Central)",
        System::Kafka.packaged_version(),
        System::Kafka.package()
    ));
    let mut maven = Command::new("mvn");
    maven
        .args(["-B", "-q", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", libs.display()));
    super::fetch::run(&mut maven).map_err(|words| {
        wrong(format!("`mvn dependency:copy-dependencies` failed ({words}); install Maven, or put a Kafka's bin/ on PATH"))
    })?;
    jars(&libs).ok_or_else(|| wrong(format!("no Kafka is in {} after Maven was done", libs.display())))
}

/// The ports of a node. That of clients is also its number, so that nodes of ours are told from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) controller: u16,
}

/// What a node is told: loopback only, the others' places, small groups at once, then the user's lines, which win
/// because the last one counts.
pub(super) fn properties(own: Ports, all: &[Ports], dir: &Path, user: &[(String, String)]) -> String {
    let Ports { client, controller } = own;
    let voters: Vec<String> =
        all.iter().map(|node| format!("{}@127.0.0.1:{}", node.client, node.controller)).collect();
    let copies = all.len().min(3);
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={client}\ncontroller.quorum.voters={}\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{client}\ncontroller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\nlog.dirs={}\nauto.create.topics.enable=false\ncontrolled.shutdown.enable=false\n\
         group.initial.rebalance.delay.ms=0\noffsets.topic.replication.factor={copies}\n\
         transaction.state.log.replication.factor={copies}\ntransaction.state.log.min.isr={}\n",
        voters.join(","),
        dir.display(),
        copies.div_ceil(2),
    );
    for (key, value) in user {
        let _infallible = writeln!(text, "{key}={value}");
    }
    text
}

/// The script that formats a node's directory the first time, and becomes the server. It takes the directory of jars, that
/// of the node, and the cluster's id.
pub(super) const SCRIPT: &str = r#"libs=$1 home=$2 id=$3
if [ ! -e "$home/data/meta.properties" ]; then
  java -Xmx256m -cp "$libs/*" kafka.tools.StorageTool format -t "$id" -c "$home/server.properties" || exit 1
fi
exec java -server -Xmx1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -Djava.awt.headless=true \
  -Dlog4j.configuration="file:$home/log4j.properties" -cp "$libs/*" kafka.Kafka "$home/server.properties"
"#;

/// A cluster's id for its first node's ports: 22 characters of base64url, which is what Kafka wants.
pub(super) fn cluster_id(first: Ports) -> String {
    format!("busmark{:0>5}{:0>5}AAAAA", first.client, first.controller)
}

/// The first place where a distribution or fetched jars are looked for, for people.
pub(super) fn missing() -> String {
    if has_java() {
        format!("put {} of Apache Kafka on PATH", System::Kafka.program())
    } else {
        JAVA_MISSING.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_jars_is_known_by_kafka_s_own() {
        let libs = tempfile::tempdir().unwrap();
        fs::write(libs.path().join("kafka-clients-3.6.2.jar"), "").unwrap();
        assert_eq!(jars(libs.path()), None);
        fs::write(libs.path().join("kafka_2.13-3.6.2.jar"), "").unwrap();
        assert_eq!(jars(libs.path()).unwrap().version, "3.6.2");
        assert_eq!(version_of("kafka_2.13-3.6.2-test.jar"), None);
        assert_eq!(jars(Path::new("/nowhere")), None);
    }

    #[test]
    fn what_is_fetched_is_the_version_it_is_said_to_be() {
        assert!(POM.contains(&format!("<version>{}</version>", System::Kafka.packaged_version())));
        assert!(System::Kafka.package().ends_with(System::Kafka.packaged_version()));
    }

    #[test]
    fn each_node_knows_all_voters_and_the_user_s_lines_come_last() {
        let nodes = [(9001, 9101), (9002, 9102), (9003, 9103)]
            .map(|(client, controller)| Ports { client, controller });
        let user = [("group.initial.rebalance.delay.ms".to_owned(), "3000".to_owned())];
        let text = properties(nodes[1], &nodes, Path::new("/d"), &user);
        assert!(text.contains("\nnode.id=9002\n"), "{text}");
        let voters = "controller.quorum.voters=9001@127.0.0.1:9101,9002@127.0.0.1:9102,9003@127.0.0.1:9103\n";
        assert!(text.contains(voters), "{text}");
        assert!(text.contains("offsets.topic.replication.factor=3\n"), "{text}");
        assert!(text.contains("transaction.state.log.min.isr=2\n"), "{text}");
        assert!(text.ends_with("group.initial.rebalance.delay.ms=3000\n"), "{text}");
        let alone = properties(nodes[0], &nodes[..1], Path::new("/d"), &[]);
        assert!(alone.contains("offsets.topic.replication.factor=1\n"), "{alone}");
    }

    #[test]
    fn a_cluster_s_id_is_sixteen_bytes_of_base64url() {
        let id = cluster_id(Ports { client: 80, controller: 65_535 });
        assert_eq!(data_encoding::BASE64URL_NOPAD.decode(id.as_bytes()).unwrap().len(), 16, "{id}");
    }
}
