//! Small commands about the server.

use super::super::log::Event;
use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::{Args, is};
use crate::clock;

/// A container is only run through its subcommands; its own arity lets nothing else get here.
pub(super) fn container(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    engine.error(key, &super::unknown_subcommand(args));
}

pub(super) fn time(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let micros = clock::unix_nanos() / 1_000;
    engine.out.reply(key, |out| {
        out.array(2);
        out.bulk((micros / 1_000_000).to_string().as_bytes());
        out.bulk((micros % 1_000_000).to_string().as_bytes());
    });
}

pub(super) fn wait(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let whole = |arg: &[u8]| std::str::from_utf8(arg).is_ok_and(|text| text.parse::<i64>().is_ok());
    if !args[1..].iter().all(|arg| whole(arg)) {
        return engine.error(key, b"ERR value is not an integer or out of range");
    }
    engine.out.reply(key, |out| out.integer(0));
}

pub(super) fn no_cluster(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.error(key, b"ERR This instance has cluster support disabled");
}

pub(super) fn flush(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    match args {
        [_] => engine.ok(key),
        [_, how] if is(how, "async") || is(how, "sync") => engine.ok(key),
        _ => engine.error(key, b"ERR syntax error"),
    }
}

pub(super) fn dbsize(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.out.reply(key, |out| out.integer(0));
}

/// Longest sleep that is taken for meant, in seconds.
const LONGEST_SLEEP: f64 = 3600.0;

pub(super) fn sleep(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if !engine.out.client(key).stream.is_local() {
        return engine
            .error(key, b"ERR DEBUG command not allowed. It can be run from a local connection only.");
    }
    let seconds = std::str::from_utf8(args[2]).ok().and_then(|text| text.parse::<f64>().ok());
    match seconds.filter(|seconds| (0.0..=LONGEST_SLEEP).contains(seconds)) {
        Some(seconds) => {
            let nanos = (seconds * 1e9) as u64;
            engine.asleep_until = engine.now + nanos;
            engine.proclaim(Event::Slept(nanos));
            engine.ok(key);
        }
        None => engine.error(key, b"ERR value is not a valid float"),
    }
}
