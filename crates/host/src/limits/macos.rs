//! What the kernel lets any process have, whatever its limit says: `setrlimit` refuses more.

use sysctl::{Ctl, CtlValue, Sysctl};

pub(super) fn most_for_a_process() -> Option<u64> {
    match Ctl::new("kern.maxfilesperproc").ok()?.value().ok()? {
        CtlValue::Int(most) => u64::try_from(most).ok(),
        _ => None,
    }
}
