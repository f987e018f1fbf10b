//! libFuzzer's program for the oracle of this name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ferrio_fuzz::run("address", data));
