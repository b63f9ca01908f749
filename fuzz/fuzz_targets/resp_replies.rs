//! cargo +nightly fuzz run resp_replies

#![no_main]

#[expect(dead_code, reason = "the other target takes the rest")]
#[path = "../entries/resp.rs"]
mod resp;

libfuzzer_sys::fuzz_target!(|data: &[u8]| resp::replies(data));
