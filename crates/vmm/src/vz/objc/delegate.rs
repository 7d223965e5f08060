//! What the framework calls by itself: a machine's end, and connections that the guest opens.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use objc2::rc::Retained;
use objc2::runtime::NSObjectProtocol;
use objc2::{AnyThread as _, DefinedClass as _, define_class, msg_send};
use objc2_foundation::{NSError, NSObject};
use objc2_virtualization::{
    VZNetworkDevice, VZVirtioSocketConnection, VZVirtioSocketDevice, VZVirtioSocketListener,
    VZVirtioSocketListenerDelegate, VZVirtualMachine, VZVirtualMachineDelegate,
};
use tokio::sync::mpsc;

use super::told;
use crate::vz::framework::Event;

define_class!(
    // SAFETY: NSObject asks nothing of its subclasses, and this one has no Drop.
    #[unsafe(super(NSObject))]
    #[name = "CoveMachineDelegate"]
    #[ivars = mpsc::UnboundedSender<Event>]
    pub(super) struct MachineDelegate;

    // SAFETY: the methods of NSObject are inherited.
    unsafe impl NSObjectProtocol for MachineDelegate {}

    // SAFETY: selectors and argument types are those of the protocol; `check-delegates` compares them.
    unsafe impl VZVirtualMachineDelegate for MachineDelegate {
        #[unsafe(method(guestDidStopVirtualMachine:))]
        fn guest_did_stop(&self, _machine: &VZVirtualMachine) {
            self.tell(Event::GuestStopped);
        }

        #[unsafe(method(virtualMachine:didStopWithError:))]
        fn did_stop_with_error(&self, _machine: &VZVirtualMachine, error: &NSError) {
            self.tell(Event::Failed(told(error)));
        }

        #[unsafe(method(virtualMachine:networkDevice:attachmentWasDisconnectedWithError:))]
        fn network_lost(&self, _machine: &VZVirtualMachine, _device: &VZNetworkDevice, error: &NSError) {
            self.tell(Event::NetworkLost(told(error)));
        }
    }
);

impl MachineDelegate {
    pub(super) fn new(events: mpsc::UnboundedSender<Event>) -> Retained<Self> {
        let this = Self::alloc().set_ivars(events);
        // SAFETY: NSObject's designated initializer.
        unsafe { msg_send![super(this), init] }
    }

    fn tell(&self, event: Event) {
        // Who no longer listens has ended the machine.
        let _ = self.ivars().send(event);
    }
}

define_class!(
    // SAFETY: NSObject asks nothing of its subclasses, and this one has no Drop.
    #[unsafe(super(NSObject))]
    #[name = "CoveSocketListenerDelegate"]
    #[ivars = mpsc::Sender<OwnedFd>]
    pub(super) struct ListenerDelegate;

    // SAFETY: the methods of NSObject are inherited.
    unsafe impl NSObjectProtocol for ListenerDelegate {}

    // SAFETY: selectors and argument types are those of the protocol; `check-delegates` compares them.
    unsafe impl VZVirtioSocketListenerDelegate for ListenerDelegate {
        #[unsafe(method(listener:shouldAcceptNewConnection:fromSocketDevice:))]
        fn accept(
            &self,
            _listener: &VZVirtioSocketListener,
            connection: &VZVirtioSocketConnection,
            _device: &VZVirtioSocketDevice,
        ) -> bool {
            // A guest that opens connections faster than they are taken is refused.
            descriptor(connection).is_ok_and(|file| self.ivars().try_send(file).is_ok())
        }
    }
);

impl ListenerDelegate {
    pub(super) fn new(connections: mpsc::Sender<OwnedFd>) -> Retained<Self> {
        let this = Self::alloc().set_ivars(connections);
        // SAFETY: NSObject's designated initializer.
        unsafe { msg_send![super(this), init] }
    }
}

/// A descriptor of one's own for a connection, whose own is closed when the connection is released.
pub(super) fn descriptor(connection: &VZVirtioSocketConnection) -> io::Result<OwnedFd> {
    // SAFETY: a getter on a living connection.
    let file = unsafe { connection.fileDescriptor() };
    if file < 0 {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // SAFETY: the connection keeps its descriptor open while it lives, and it is borrowed for this line only.
    unsafe { BorrowedFd::borrow_raw(file) }.try_clone_to_owned()
}
