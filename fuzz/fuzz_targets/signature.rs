#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| paywright_fuzz::stripe::signature::run(bytes));
