//! cargo +nightly fuzz run nats_protocol

#![no_main]

#[path = "../entries/nats.rs"]
mod nats;

libfuzzer_sys::fuzz_target!(|data: &[u8]| nats::protocol(data));
