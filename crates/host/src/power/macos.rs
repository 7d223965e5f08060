//! `IORegisterForSystemPower`, on a dispatch queue of its own.
//!
//! Compiled for macOS on Linux, and never run.

#![allow(unsafe_code, reason = "IOKit takes a C function and a pointer that it hands back")]

use std::ffi::c_void;
use std::io;
use std::ptr::{from_ref, null_mut};
use std::sync::OnceLock;

use dispatch2::{DispatchQueue, DispatchQueueAttr};
use objc2_io_kit::{
    IOAllowPowerChange, IONotificationPort, IORegisterForSystemPower, io_connect_t, io_service_t,
    kIOMessageCanSystemSleep, kIOMessageSystemHasPoweredOn, kIOMessageSystemWillSleep,
};
use tokio::sync::mpsc;

use super::{Acknowledgement, PowerEvent};

const MAY_SLEEP: u32 = kIOMessageCanSystemSleep;
const WILL_SLEEP: u32 = kIOMessageSystemWillSleep;
const DID_WAKE: u32 = kIOMessageSystemHasPoweredOn;

/// What the callback is handed. It lives as long as the process, as does the registration.
struct Listener {
    events: mpsc::UnboundedSender<PowerEvent>,
    /// The connection on which sleep is allowed; set before the first message can come.
    root: OnceLock<io_connect_t>,
}

pub(super) fn watch(events: mpsc::UnboundedSender<PowerEvent>) -> io::Result<()> {
    let listener: &'static Listener = Box::leak(Box::new(Listener { events, root: OnceLock::new() }));
    let (mut port, mut notifier) = (null_mut(), 0);
    let context = from_ref(listener).cast_mut().cast();
    // SAFETY: both places are written during the call alone; the callback has the declared type, and its context
    // lives for ever.
    let root = unsafe { IORegisterForSystemPower(context, &raw mut port, Some(heard), &raw mut notifier) };
    if root == 0 || port.is_null() {
        return Err(io::Error::other("macOS does not tell of sleep"));
    }
    // Nobody else sets it.
    let _ = listener.root.set(root);
    let queue = DispatchQueue::new("cove.power", DispatchQueueAttr::SERIAL);
    // SAFETY: the port was made by the registration and is never destroyed; it keeps the queue.
    unsafe { IONotificationPort::set_dispatch_queue(port, Some(&queue)) };
    Ok(())
}

/// Messages that are not named here want no answer.
unsafe extern "C-unwind" fn heard(context: *mut c_void, _: io_service_t, message: u32, id: *mut c_void) {
    // SAFETY: it is the listener that `watch` leaked.
    let listener = unsafe { &*context.cast::<Listener>() };
    let Some(&root) = listener.root.get() else { return };
    let id = id.addr().cast_signed();
    let event = match message {
        // It only asks whether it may; the word before the sleep itself follows.
        MAY_SLEEP => {
            IOAllowPowerChange(root, id);
            return;
        }
        WILL_SLEEP => PowerEvent::WillSleep(Acknowledgement::new(move || {
            IOAllowPowerChange(root, id);
        })),
        DID_WAKE => PowerEvent::DidWake,
        _ => return,
    };
    // With nobody to hear it, the event is dropped here, and the sleep allowed with it.
    let _ = listener.events.send(event);
}
