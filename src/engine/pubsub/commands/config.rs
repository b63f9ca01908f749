//! CONFIG.

use super::super::log::Event;
use super::super::registry::ClientKey;
use super::super::settings::Refusal;
use super::super::state::Engine;
use super::super::stats::Stats;
use super::{Args, is};

pub(super) fn get(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let mut found: Vec<(String, String)> = Vec::new();
    for pattern in &args[2..] {
        for (name, value) in engine.settings.find(pattern) {
            // A name is shown as it was asked for, what a pattern finds as it is called.
            let name = if is(pattern, name) {
                String::from_utf8_lossy(pattern).into_owned()
            } else {
                name.to_owned()
            };
            if !found.iter().any(|(other, _)| *other == name) {
                found.push((name, value));
            }
        }
    }
    engine.out.reply(key, |out| {
        out.map(found.len());
        for (name, value) in &found {
            out.bulk(name.as_bytes());
            out.bulk(value.as_bytes());
        }
    });
}

pub(super) fn set(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let pairs = &args[2..];
    if !pairs.len().is_multiple_of(2) {
        return engine.error(key, b"ERR wrong number of arguments for 'config|set' command");
    }
    let mut changed = engine.settings.clone();
    for (at, pair) in pairs.chunks(2).enumerate() {
        let name = String::from_utf8_lossy(pair[0]).into_owned();
        let failed =
            |why: &str| format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        if pairs.chunks(2).take(at).any(|earlier| earlier[0].eq_ignore_ascii_case(pair[0])) {
            return engine.error(key, failed("duplicate parameter").as_bytes());
        }
        let text = match changed.set(&name, &String::from_utf8_lossy(pair[1])) {
            Ok(()) => continue,
            Err(Refusal::Unknown) => {
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Err(Refusal::Immutable) => failed("can't set immutable config"),
            Err(Refusal::Value(why)) => failed(why),
        };
        return engine.error(key, text.as_bytes());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs: Vec<_> = pairs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
    engine.configure(&pairs);
    engine.proclaim(Event::Configured(pairs));
    engine.ok(key);
}

impl Engine {
    /// Changes settings to values that are known to be good.
    pub(in super::super) fn configure(&mut self, pairs: &[(String, String)]) {
        for (name, value) in pairs {
            // They were tried where the command came in.
            let _ = self.settings.set(name, value);
        }
        self.out.set_limits(self.settings.limits);
    }

    /// Sets the counters to 0.
    pub(in super::super) fn reset_stats(&mut self) {
        self.out.stats = Stats::default();
        self.rates = Default::default();
    }
}

pub(super) fn resetstat(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.reset_stats();
    engine.proclaim(Event::StatsReset);
    engine.ok(key);
}

pub(super) fn rewrite(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.error(key, b"ERR The server is running without a config file");
}

pub(super) fn help(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    super::help(
        engine,
        key,
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "    Tell the settings whose names match.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change settings.",
            "RESETSTAT",
            "    Set the counters of INFO to 0.",
            "REWRITE",
            "    Would rewrite a configuration file; there is none.",
        ],
    );
}
