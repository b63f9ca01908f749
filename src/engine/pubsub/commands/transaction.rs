//! MULTI and EXEC around what exists.

use super::super::client::Transaction;
use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::{Args, Found, find};

pub(super) fn multi(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let transaction = &mut engine.out.client_mut(key).transaction;
    if transaction.is_some() {
        return engine.error(key, b"ERR MULTI calls can not be nested");
    }
    *transaction = Some(Box::new(Transaction::default()));
    engine.ok(key);
}

pub(super) fn exec(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let Some(transaction) = engine.out.client_mut(key).transaction.take() else {
        return engine.error(key, b"ERR EXEC without MULTI");
    };
    if transaction.broken {
        return engine.error(key, b"EXECABORT Transaction discarded because of previous errors.");
    }
    engine.out.reply(key, |out| out.array(transaction.queued.len()));
    engine.in_exec = true;
    if !transaction.queued.iter().any(|command| concerns_others(command)) {
        let bytes = transaction.queued.iter().flatten().map(|arg| arg.len() as u64);
        engine.hold(bytes.sum());
    }
    for command in &transaction.queued {
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        // It was found when it was queued, and the table does not change.
        if let Found::Command(spec) = find(args[0], args.get(1).copied()) {
            engine.call(key, spec, &args);
        }
    }
    engine.let_go();
    engine.in_exec = false;
}

/// Commands that every event loop has a part in. A transaction with one of them is no unit for the clients of
/// other loops: they can't be asked while they are held up.
fn concerns_others(command: &[Vec<u8>]) -> bool {
    let name = match find(&command[0], command.get(1).map(Vec::as_slice)) {
        Found::Command(spec) => spec.name,
        Found::NoCommand | Found::NoSubcommand => return false,
    };
    matches!(name, "client|list" | "client|kill" | "config|set" | "config|resetstat" | "debug|sleep" | "info")
}

pub(super) fn discard(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    match engine.out.client_mut(key).transaction.take() {
        Some(_) => engine.ok(key),
        None => engine.error(key, b"ERR DISCARD without MULTI"),
    }
}

/// There are no keys that could change: accepted.
pub(super) fn watch(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    if engine.out.client(key).transaction.is_some() {
        return engine.error(key, b"ERR WATCH inside MULTI is not allowed");
    }
    engine.ok(key);
}

pub(super) fn unwatch(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.ok(key);
}
