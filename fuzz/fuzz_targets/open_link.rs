//! What was asked to be opened: a link from any page, and a `.cove` file from any repository. What is read leads to one
//! place, which can be shown; what is not is refused in one line.
#![no_main]

use api::OpenLink;
use camino::Utf8Path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match OpenLink::from_file(bytes, Utf8Path::new("/src")) {
        Ok(read) => assert_eq!(OpenLink::from_file(bytes, Utf8Path::new("/src")).as_ref(), Ok(&read)),
        Err(refused) => assert!(!refused.to_string().contains(char::is_control), "{refused}"),
    }
    let Ok(link) = str::from_utf8(bytes) else { return };
    match OpenLink::parse(link) {
        Ok(read) => {
            assert_eq!(OpenLink::parse(&read.to_string()).as_ref(), Ok(&read));
            if let OpenLink::Folder(path) = &read {
                assert!(path.is_absolute() && !path.as_str().contains(char::is_control), "{path:?}");
                assert!(!path.components().any(|part| part.as_str() == ".."), "{path:?}");
            }
        }
        Err(refused) => assert!(!refused.to_string().contains(char::is_control), "{refused}"),
    }
});
