//! An archive from a registry: whatever it holds, nothing leaves the folder and nothing grows past the limits.
#![no_main]

use camino::Utf8Component;
use libfuzzer_sys::fuzz_target;
use oci::{Limits, pack, unpack};

const LIMITS: Limits = Limits { entries: 100, bytes: 1 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(files) = unpack(bytes, LIMITS) else { return };
    assert!(files.len() <= LIMITS.entries);
    assert!(files.values().map(|file| file.bytes.len() as u64).sum::<u64>() <= LIMITS.bytes);
    for path in files.keys() {
        assert!(path.components().all(|part| matches!(part, Utf8Component::Normal(_))), "{path}");
    }
    assert!(files.values().all(|file| file.mode & !0o777 == 0));
    // What is packed again has the same content.
    assert_eq!(unpack(&pack(&files), LIMITS).expect("what we pack we can unpack"), files);
});
