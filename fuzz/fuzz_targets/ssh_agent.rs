//! What a program in a container says to the person's ssh agent: any bytes are read or refused, what is read lies within
//! them, and no forged binding is true.
#![no_main]

use host::ssh_agent::{Purpose, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Request::read(bytes) {
        // Nobody finds a signature by chance.
        Some(Request::Bind(binding)) => assert!(!binding.is_true()),
        Some(Request::Sign { key, data }) => {
            assert!(key.len() + data.len() < bytes.len());
            if let Purpose::Login { session, .. } = Purpose::of(data) {
                assert!(!session.is_empty());
            }
        }
        Some(Request::List | Request::Other) | None => {}
    }
    let _ = Purpose::of(bytes);
});
