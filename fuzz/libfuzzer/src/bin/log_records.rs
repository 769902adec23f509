#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::target("log_records")(data));
