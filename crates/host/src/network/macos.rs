//! The dynamic store of `SystemConfiguration`, on a dispatch queue of its own.
//!
//! Compiled for macOS on Linux, and never run.

#![allow(unsafe_code, reason = "the framework takes a C function and a pointer that it hands back")]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use dispatch2::{DispatchQueue, DispatchQueueAttr};
use objc2_core_foundation::{CFArray, CFString};
use objc2_system_configuration::{SCDynamicStore, SCDynamicStoreContext};
use tokio::sync::Notify;

/// What is followed: the main addresses and routes, names, proxies.
const KEYS: [&str; 4] = [
    "State:/Network/Global/IPv4",
    "State:/Network/Global/IPv6",
    "State:/Network/Global/DNS",
    "State:/Network/Global/Proxies",
];

pub(super) fn watch(changed: Arc<Notify>) -> io::Result<()> {
    let refused = || io::Error::other("macOS does not tell of changes of the network");
    let mut context = SCDynamicStoreContext {
        version: 0,
        // Never given back: it lives as long as the process, as does what is registered.
        info: Arc::into_raw(changed).cast_mut().cast(),
        retain: None,
        release: None,
        copyDescription: None,
    };
    let name = CFString::from_static_str("cove");
    // SAFETY: the callback has the declared type; the context is copied during the call, and what it points to lives
    // for ever.
    let store = unsafe { SCDynamicStore::new(None, &name, Some(heard), &raw mut context) };
    let store = store.ok_or_else(refused)?;
    let keys = KEYS.map(CFString::from_static_str);
    let keys = CFArray::from_retained_objects(&keys);
    // SAFETY: an array of strings, which is what is asked for.
    let follows = unsafe { store.set_notification_keys(Some(keys.as_opaque()), None) };
    let queue = DispatchQueue::new("cove.network", DispatchQueueAttr::SERIAL);
    // SAFETY: the callback may run on any queue: all it does is notify.
    if !follows || !unsafe { store.set_dispatch_queue(Some(&queue)) } {
        return Err(refused());
    }
    // Releasing it would end the notifications.
    std::mem::forget(store);
    Ok(())
}

unsafe extern "C-unwind" fn heard(_: NonNull<SCDynamicStore>, _: NonNull<CFArray>, context: *mut c_void) {
    // SAFETY: it is what `watch` never gave back.
    unsafe { &*context.cast::<Notify>() }.notify_one();
}
