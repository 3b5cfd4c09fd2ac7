#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| paywright_fuzz::app::client_address::run(bytes));
