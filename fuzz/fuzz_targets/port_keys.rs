//! Keys of `portsAttributes` from a repository, and the command lines they are matched with: any is read or refused, and
//! none takes more than its share of time and memory.
#![no_main]

use devcontainer::{ForwardPort, PortAttributes, PortRules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (key, command) = text.split_once('\n').unwrap_or((&text, ""));
    let said = PortAttributes { label: Some("x".to_owned()), ..PortAttributes::default() };
    let rules = PortRules::new(&[(key.to_owned(), said.clone())], None);
    for refused in rules.refused() {
        assert!(refused.key == key && !refused.reason.contains('\n'), "{refused:?}");
    }
    let found = rules.attributes(&ForwardPort::own(3000), Some(command));
    assert!(found == said || found == PortAttributes::default());
});
