//! cargo +nightly fuzz run jetstream_segment

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| busmark::engine::jetstream::entries::segment(data));
