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
    for command in &transaction.queued {
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        // It was found when it was queued, and the table does not change.
        if let Found::Command(spec) = find(args[0], args.get(1).copied()) {
            engine.call(key, spec, &args);
        }
    }
    engine.in_exec = false;
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
