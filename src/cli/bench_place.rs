//! What a place named on the command line of `busmark bench` is: a driver, and where its broker comes from.

use std::path::Path;

use crate::scenario::{did_you_mean, driver_names};

/// Engines inside busmark, by what follows `bundled:`, with their driver.
const BUNDLED: &[(&str, &str)] =
    &[("pubsub", "redis-pubsub"), ("jetstream", "jetstream"), ("nats", "nats-core")];
/// Servers that busmark starts, by what follows `managed:`, with driver and server.
const MANAGED: &[(&str, &str, &str)] = &[
    ("redis", "redis-pubsub", "redis"),
    ("valkey", "redis-pubsub", "valkey"),
    ("nats", "nats-core", "nats"),
    ("jetstream", "jetstream", "nats"),
    ("kafka", "kafka", "kafka"),
];
/// Schemes with the driver that they mean if nothing is said.
const SCHEMES: &[(&str, &str)] = &[
    ("redis", "redis-pubsub"),
    ("rediss", "redis-pubsub"),
    ("unix", "redis-pubsub"),
    ("nats", "nats-core"),
    ("tls", "nats-core"),
    ("kafka", "kafka"),
];
/// What may stand there, for error messages.
pub(super) const FORMS: &str = "redis://HOST:PORT, unix:///PATH, nats://HOST:PORT, jetstream://HOST:PORT, kafka://HOST:PORT, \
    DRIVER://HOST:PORT, bundled:pubsub, bundled:jetstream, managed:redis, managed:nats, managed:kafka, loopback";

/// A system to be measured, as a scenario writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the target.
    pub(super) name: String,
    /// Name of the driver.
    pub(super) driver: String,
    /// Where its broker comes from.
    pub(super) broker: Source,
}

/// Where a broker comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Inside busmark.
    Bundled,
    /// Started by busmark: which server.
    Managed(&'static str),
    /// Already there.
    Url(String),
    /// There is none.
    None,
}

impl Source {
    /// As the value of `broker` in a scenario.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Bundled => "\"bundled\"".to_owned(),
            Self::Managed(server) => format!("{{ server = \"{server}\" }}"),
            Self::Url(url) => format!("{{ url = {} }}", toml_edit::Value::from(url.as_str())),
            Self::None => "\"none\"".to_owned(),
        }
    }
}

/// All places of a command line, with names that differ. `driver` counts for the URLs that it can reach.
///
/// # Errors
/// The first text that is no place, or a driver that reaches none of them.
pub(super) fn places(texts: &[String], driver: Option<&str>) -> Result<Vec<Place>, String> {
    if let Some(driver) = driver.filter(|driver| !driver_names().contains(driver)) {
        let hint = did_you_mean(driver, driver_names());
        return Err(format!(
            "--driver {driver}: no such driver{hint}; allowed: {}",
            driver_names().join(", ")
        ));
    }
    let mut places = texts.iter().map(|text| place(text, driver)).collect::<Result<Vec<_>, _>>()?;
    if let Some(driver) = driver.filter(|driver| places.iter().all(|place| place.driver != *driver)) {
        let schemes = family(driver).join("://, ");
        return Err(format!(
            "--driver {driver}: none of the places is a URL that it can reach ({schemes}://)"
        ));
    }
    tell_apart(&mut places);
    Ok(places)
}

fn place(text: &str, driver: Option<&str>) -> Result<Place, String> {
    if let Some(known) = text.strip_prefix("bundled:") {
        let (name, driver) = BUNDLED.iter().find(|(name, _)| *name == known).ok_or_else(|| {
            let names = BUNDLED.iter().map(|(name, _)| *name);
            unknown(text, &did_you_mean(known, names))
        })?;
        return Ok(made(format!("bundled-{name}"), driver, Source::Bundled));
    }
    if let Some(known) = text.strip_prefix("managed:") {
        let (name, driver, server) = MANAGED.iter().find(|(name, ..)| *name == known).ok_or_else(|| {
            let names = MANAGED.iter().map(|(name, ..)| *name);
            unknown(text, &did_you_mean(known, names))
        })?;
        return Ok(made((*name).to_owned(), driver, Source::Managed(server)));
    }
    if text == "loopback" {
        return Ok(made(text.to_owned(), "loopback", Source::None));
    }
    url(text, driver)
}

fn made(name: String, driver: &str, broker: Source) -> Place {
    Place { name, driver: driver.to_owned(), broker }
}

fn unknown(text: &str, hint: &str) -> String {
    format!("`{text}` is no place{hint}; allowed: {FORMS}")
}

/// A broker that is already there.
fn url(text: &str, wanted: Option<&str>) -> Result<Place, String> {
    let socket = text.strip_prefix("unix:").filter(|rest| !rest.starts_with("//"));
    let socket = socket.or_else(|| text.starts_with(['/', '.']).then_some(text));
    let whole = match socket {
        Some(path) => format!("unix://{}", absolute(path)),
        None => text.to_owned(),
    };
    let Some((scheme, rest)) = whole.split_once("://").filter(|(_, rest)| !rest.is_empty()) else {
        let hint =
            if text.contains(':') { format!(" (did you mean `redis://{text}`?)") } else { String::new() };
        return Err(unknown(text, &hint));
    };
    if driver_names().contains(&scheme) {
        let base = family(scheme).first().copied().unwrap_or(scheme);
        return Ok(made(short(scheme), scheme, Source::Url(format!("{base}://{rest}"))));
    }
    let Some((_, usual)) = SCHEMES.iter().find(|(known, _)| *known == scheme) else {
        let known = SCHEMES.iter().map(|(scheme, _)| *scheme).chain(driver_names());
        return Err(unknown(text, &did_you_mean(scheme, known)));
    };
    let driver = wanted.filter(|driver| family(driver).contains(&scheme)).unwrap_or(usual);
    Ok(made(short(driver), driver, Source::Url(whole.clone())))
}

/// A socket's path from the root, as a URL needs it.
fn absolute(path: &str) -> String {
    std::path::absolute(Path::new(path)).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

/// Schemes of the URLs that a driver can reach, the usual one first.
fn family(driver: &str) -> Vec<&str> {
    if driver == "loopback" {
        return Vec::new();
    }
    let systems = [("redis", ["redis", "rediss", "unix"].as_slice()), ("nats", &["nats", "tls"])];
    let protocol = if driver == "jetstream" { "nats" } else { driver };
    let found = systems.iter().find(|(system, _)| protocol.starts_with(system));
    found.map_or_else(|| vec![driver], |(_, schemes)| schemes.to_vec())
}

/// The driver's name as people call the system.
fn short(driver: &str) -> String {
    driver.trim_end_matches("-pubsub").trim_end_matches("-core").to_owned()
}

/// Makes equal names differ: by the address first, then by number.
fn tell_apart(places: &mut [Place]) {
    let repeated =
        |places: &[Place], name: &str| places.iter().filter(|place| place.name == name).count() > 1;
    let before = places.to_vec();
    for place in places.iter_mut().filter(|place| repeated(&before, &place.name)) {
        if let Source::Url(url) = &place.broker {
            let shown = crate::scenario::url::public(url);
            let address = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
            let address: String = address.chars().map(plain).collect();
            place.name = format!("{}-{}", place.name, address.trim_matches('-'));
        }
    }
    let before = places.to_vec();
    for index in 0..places.len() {
        let earlier = before[..index].iter().filter(|place| place.name == before[index].name).count();
        if earlier > 0 {
            places[index].name = format!("{}-{}", before[index].name, earlier + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str], driver: Option<&str>) -> Result<Vec<(String, String, String)>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let places = places(&texts, driver)?;
        Ok(places.into_iter().map(|place| (place.name, place.driver, place.broker.toml())).collect())
    }

    fn one(text: &str) -> (String, String, String) {
        of(&[text], None).unwrap().remove(0)
    }

    fn three(name: &str, driver: &str, broker: &str) -> (String, String, String) {
        (name.to_owned(), driver.to_owned(), broker.to_owned())
    }

    #[test]
    fn urls_sockets_and_names_each_mean_a_driver_and_a_broker() {
        assert_eq!(one("redis://h:1"), three("redis", "redis-pubsub", "{ url = \"redis://h:1\" }"));
        assert_eq!(one("nats://h:1"), three("nats", "nats-core", "{ url = \"nats://h:1\" }"));
        assert_eq!(one("jetstream://h:1"), three("jetstream", "jetstream", "{ url = \"nats://h:1\" }"));
        assert_eq!(one("/run/r.sock"), three("redis", "redis-pubsub", "{ url = \"unix:///run/r.sock\" }"));
        assert_eq!(one("unix:/run/r.sock"), one("/run/r.sock"));
        assert_eq!(one("unix:///run/r.sock"), one("/run/r.sock"));
        assert_eq!(one("bundled:pubsub"), three("bundled-pubsub", "redis-pubsub", "\"bundled\""));
        assert_eq!(one("bundled:jetstream"), three("bundled-jetstream", "jetstream", "\"bundled\""));
        assert_eq!(one("managed:valkey"), three("valkey", "redis-pubsub", "{ server = \"valkey\" }"));
        assert_eq!(one("loopback"), three("loopback", "loopback", "\"none\""));
        assert!(
            one("./r.sock").2.contains(&format!("{}/r.sock", std::env::current_dir().unwrap().display()))
        );
    }

    #[test]
    fn a_driver_counts_for_the_urls_that_it_can_reach_and_for_no_others() {
        let both = of(&["redis://a", "nats://b"], Some("jetstream")).unwrap();
        assert_eq!((both[0].1.as_str(), both[1].1.as_str()), ("redis-pubsub", "jetstream"));
        let error = of(&["redis://a"], Some("jetstream")).unwrap_err();
        assert!(error.contains("nats://"), "{error}");
        let error = of(&["nats://a"], Some("jetsteam")).unwrap_err();
        assert!(error.contains("did you mean `jetstream`"), "{error}");
    }

    #[test]
    fn what_is_no_place_says_what_is_and_the_nearest() {
        for (text, hint) in [
            ("bundled:pubsubb", "did you mean `pubsub`"),
            ("managed:reddis", "did you mean `redis`"),
            ("rediss:/x", "allowed: redis://"),
            ("127.0.0.1:6379", "did you mean `redis://127.0.0.1:6379`"),
            ("reddis://h:1", "did you mean `redis`"),
            ("nats://", "allowed: redis://"),
        ] {
            let error = of(&[text], None).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn equal_systems_are_told_apart_by_address_and_then_by_number() {
        let names = |texts: &[&str]| -> Vec<String> {
            of(texts, None).unwrap().into_iter().map(|place| place.0).collect()
        };
        assert_eq!(names(&["redis://a:1", "redis://u:pw@b:2/0"]), ["redis-a-1", "redis-b-2-0"]);
        assert_eq!(names(&["redis://a:1", "redis://a:1", "nats://a"]), ["redis-a-1", "redis-a-1-2", "nats"]);
        assert_eq!(names(&["bundled:pubsub", "bundled:pubsub"]), ["bundled-pubsub", "bundled-pubsub-2"]);
    }

    #[test]
    fn every_driver_can_be_named_by_its_own_scheme() {
        for driver in driver_names().into_iter().filter(|driver| *driver != "loopback") {
            assert_eq!(one(&format!("{driver}://h:1")).1, driver);
        }
    }
}
