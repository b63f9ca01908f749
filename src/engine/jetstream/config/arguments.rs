//! The command line of nats-server, as far as it can be honoured.

use super::apply::Encryption;
use super::{ConfigError, apply, units};
use crate::engine::jetstream::settings::{Settings, SyncPolicy};
use crate::engine::jetstream::signal::Order;
use std::path::Path;

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Serve.
    Serve(Box<Settings>),
    /// Print how it is used.
    Help,
    /// Print the version.
    Version,
    /// Say whether the configuration is right.
    Test,
    /// Tell something to the server that runs as a process.
    Signal(Order, u32),
}

/// Options of nats-server that this engine has nothing for.
const UNSUPPORTED: &[&str] = &[
    "tls_resume",
    "cluster",
    "cluster_listen",
    "routes",
    "cluster_name",
    "no_advertise",
    "connect_retries",
    "cluster_advertise",
    "client_advertise",
    "remote_syslog",
    "r",
    "syslog",
    "s",
    "profile",
    "https_port",
    "ms",
    "ports_file_dir",
    "js_domain",
    "config_check",
];
/// Switches that only say how much is logged.
const IDLE: &[&str] = &["d", "debug", "v", "trace", "vv", "dv", "dvv", "logtime", "t"];

/// Takes options one after the other.
struct Options<'a> {
    all: std::slice::Iter<'a, String>,
}

impl Options<'_> {
    fn value(&mut self, name: &str, inline: Option<&str>) -> Result<String, ConfigError> {
        let given = inline.map(str::to_owned).or_else(|| self.all.next().cloned());
        given.ok_or_else(|| ConfigError::Missing(format!("--{name}")))
    }
}

impl Request {
    /// Reads options: `-name value`, `--name value` or `--name=value`. A configuration file is applied first,
    /// wherever `-c` stands, so that options win.
    ///
    /// # Errors
    /// Something is unknown, makes no sense, or can't be honoured.
    pub fn parse(arguments: &[String]) -> Result<Self, ConfigError> {
        let mut settings = Settings::default();
        let mut test = false;
        if let Some(path) = config_file(arguments)? {
            let source = |source| ConfigError::Read { path: path.clone(), source };
            let text = std::fs::read_to_string(Path::new(&path)).map_err(source)?;
            super::read(&mut settings, &path, &text)?;
        }
        let mut options = Options { all: arguments.iter() };
        let (mut user, mut password) = (None, None);
        let (mut tls, mut encrypt) = (Encryption::default(), false);
        while let Some(argument) = options.all.next() {
            let (name, inline) = split(argument)?;
            match name.as_str() {
                "h" | "help" | "?" => return Ok(Self::Help),
                "version" => return Ok(Self::Version),
                "v" if arguments.len() == 1 => return Ok(Self::Version),
                "signal" | "sl" => return order(&name, &options.value(&name, inline)?),
                "t" => test = true,
                "user" => user = Some(options.value(&name, inline)?),
                "tls" => encrypt = true,
                "tlsverify" => (tls.verify, encrypt) = (true, true),
                "tlscert" => tls.certificate = Some(options.value(&name, inline)?.into()),
                "tlskey" => tls.key = Some(options.value(&name, inline)?.into()),
                "tlscacert" => tls.authority = Some(options.value(&name, inline)?.into()),
                "pass" => password = Some(options.value(&name, inline)?),
                name if UNSUPPORTED.contains(&name) => {
                    return Err(ConfigError::Unsupported(argument.clone()));
                }
                name if IDLE.contains(&name) => {}
                _ => option(&mut settings, &name, (&mut options, inline))?,
            }
        }
        match (user, password) {
            (Some(user), Some(password)) => settings.credentials.add(&user, &password),
            (None, None) => {}
            (Some(_), None) => return Err(ConfigError::Missing("--pass".to_owned())),
            (None, Some(_)) => return Err(ConfigError::Missing("--user".to_owned())),
        }
        if tls.is_wanted() || (encrypt && settings.tls.is_none()) {
            settings.tls = Some(tls.files()?);
        }
        Ok(if test { Self::Test } else { Self::Serve(Box::new(settings)) })
    }
}

/// Reads `ldm=PID`.
fn order(name: &str, given: &str) -> Result<Request, ConfigError> {
    let (word, pid) = given.split_once('=').unwrap_or((given, ""));
    let wrong = |wanted| ConfigError::Value { key: name.to_owned(), given: given.to_owned(), wanted };
    match (Order::parse(word), pid.parse()) {
        (Some(order), Ok(pid)) => Ok(Request::Signal(order, pid)),
        (None, _) if matches!(word, "reopen" | "reload") => Err(ConfigError::Unsupported(given.to_owned())),
        (None, _) => Err(wrong("one of ldm=PID, quit=PID, term=PID and stop=PID")),
        (Some(_), Err(_)) => Err(wrong("followed by =PID, the number of the server's process")),
    }
}

fn split(argument: &str) -> Result<(String, Option<&str>), ConfigError> {
    let unknown = || ConfigError::Unknown(argument.to_owned());
    let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).ok_or_else(unknown)?;
    let (name, inline) = match bare.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (bare, None),
    };
    // `-D` and `-V` differ from `-d`-style words by case only where nats-server has no lower-case twin.
    Ok((
        if matches!(name, "D" | "V" | "VV" | "DV" | "DVV" | "T") {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        },
        inline,
    ))
}

fn config_file(arguments: &[String]) -> Result<Option<String>, ConfigError> {
    let mut options = Options { all: arguments.iter() };
    while let Some(argument) = options.all.next() {
        let Ok((name, inline)) = split(argument) else { continue };
        if matches!(name.as_str(), "c" | "config") {
            return options.value(&name, inline).map(Some);
        }
    }
    Ok(None)
}

fn option(
    settings: &mut Settings,
    name: &str,
    (options, inline): (&mut Options<'_>, Option<&str>),
) -> Result<(), ConfigError> {
    if matches!(name, "js" | "jetstream") {
        apply::streams(settings);
        return Ok(());
    }
    let value = options.value(name, inline)?;
    match name {
        "c" | "config" => {}
        "p" | "port" => settings.listen.set_port(units::port(name, &value)?),
        "a" | "addr" | "net" => apply::host(settings, name, &value)?,
        "listen" => apply::listen(settings, name, &value)?,
        "n" | "name" | "server_name" => settings.name = Some(value),
        "sd" | "store_dir" => apply::streams(settings).store_dir = Path::new(&value).join("jetstream"),
        "sync" => apply::streams(settings).sync = apply::sync(name, &value)?,
        "segment_size" => apply::streams(settings).segment_bytes = apply::segment_size(name, &value)?,
        "m" | "http_port" => apply::monitor_port(settings, name, &value)?,
        "auth" => settings.credentials.token = Some(value),
        "P" | "pid" => settings.pid_file = Some(value.into()),
        "l" | "log" => settings.log_file = Some(value.into()),
        "max_payload" => settings.max_payload = units::count(name, &value)?,
        _ => return Err(ConfigError::Unknown(format!("--{name}"))),
    }
    Ok(())
}

impl Settings {
    /// One line for people: what is on.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.jetstream {
            None => "core only".to_owned(),
            Some(streams) => format!(
                "streams in {}, synced {}",
                streams.store_dir.display(),
                match streams.sync {
                    SyncPolicy::Always => "before each acknowledgement".to_owned(),
                    SyncPolicy::Interval(interval) => format!("every {interval:?}"),
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::jetstream::settings::Monitor;
    use std::time::Duration;

    fn parse(line: &str) -> Result<Request, ConfigError> {
        Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn settings(line: &str) -> Settings {
        match parse(line) {
            Ok(Request::Serve(settings)) => *settings,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_are_those_of_nats_server() {
        let all = settings("-p -1 -a 127.0.0.1 -js -sd /x --user u --pass=p -P /pid -DV -n me");
        assert_eq!(all.listen.to_string(), "127.0.0.1:0");
        assert_eq!(all.jetstream.as_ref().map(|js| js.store_dir.clone()), Some("/x/jetstream".into()));
        assert_eq!(all.credentials.users[0].name, "u");
        let watched = settings("-m 8222 --tls --tlscert c.pem --tlskey k.pem --tlsverify --tlscacert ca.pem");
        assert_eq!(watched.monitor, Some(Monitor { host: None, port: 8222 }));
        assert_eq!(watched.tls.and_then(|files| files.clients), Some("ca.pem".into()));
        assert_eq!(all.name.as_deref(), Some("me"));
        assert_eq!(settings("--listen 127.0.0.1:7").listen.port(), 7);
        assert!(matches!(parse("--help"), Ok(Request::Help)));
        assert!(matches!(parse("-v"), Ok(Request::Version)));
        assert!(matches!(parse("--signal ldm=77"), Ok(Request::Signal(Order::LameDuck, 77))));
        assert!(matches!(parse("-sl=quit=78"), Ok(Request::Signal(Order::Quit, 78))));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for line in [
            "--cluster nats://x",
            "--routes x",
            "-m x",
            "--tls",
            "--tlsverify --tlscert c --tlskey k",
            "--signal stop",
            "--signal reload=5",
            "--signal nonsense=5",
            "-nope",
            "-p x",
            "-p",
            "stray",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_is_read_and_options_win_over_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("n.conf");
        std::fs::write(
            &file,
            "port: 5\nmax_payload = 2MB\nping_interval: \"3s\"\njetstream: {store_dir: /s, sync_interval: always}\n\
             authorization { token: t, timeout: 1 }",
        )
        .unwrap();
        let all = settings(&format!("-p 6 -c {}", file.display()));
        assert_eq!((all.listen.port(), all.max_payload), (6, 2 << 20));
        assert_eq!(all.ping_interval, Duration::from_secs(3));
        assert_eq!(all.jetstream.map(|js| js.sync), Some(SyncPolicy::Always));
        assert_eq!((all.credentials.token.as_deref(), all.auth_timeout), (Some("t"), Duration::from_secs(1)));
        for bad in
            ["cluster { }", "accounts: x", "tls { }", "nonsense: 1", "jetstream { domain: d }", "port: x"]
        {
            std::fs::write(&file, bad).unwrap();
            assert!(parse(&format!("-c {}", file.display())).is_err(), "{bad}");
        }
    }
}
