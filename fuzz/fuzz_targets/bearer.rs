#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| shild::fuzzing::bearer(input));
