//! What is in a folder of a volume, whose names are foreign: none of them becomes another entry.
#![no_main]

use engine::parse_listing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = parse_listing(bytes);
    let slashes = bytes.iter().filter(|byte| **byte == b'/').count();
    assert!(read.len() <= slashes, "an entry has a slash of its own");
    for entry in &read {
        assert!(!entry.name.is_empty() && !entry.name.contains('/'));
        assert_eq!(entry.mode & !0o7777, 0);
    }
    // A name of any bytes that a name can have comes back as it was, whatever stands around it.
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| ![0, b'/'].contains(byte)).collect();
    if !name.is_empty() {
        let text = [b"81a4 5 -1 7 8 ./".as_slice(), &name, b"\n41ed 0 1 0 0 ./last\n"].concat();
        let read = parse_listing(&text);
        let names: Vec<_> = read.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [String::from_utf8_lossy(&name).into_owned(), "last".to_owned()]);
    }
});
