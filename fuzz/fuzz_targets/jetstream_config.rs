//! cargo +nightly fuzz run jetstream_config

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| busmark::engine::jetstream::entries::config(data));
