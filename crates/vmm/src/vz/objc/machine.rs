//! One machine of the framework, on its own queue.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Mutex;

use block2::RcBlock;
use camino::Utf8Path;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use objc2::AnyThread as _;
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_foundation::NSError;
use objc2_virtualization::{
    VZVirtioFileSystemDevice, VZVirtioSocketConnection, VZVirtioSocketDevice, VZVirtioSocketListener,
    VZVirtioTraditionalMemoryBalloonDevice, VZVirtualMachine, VZVirtualMachineState,
};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::delegate::{ListenerDelegate, MachineDelegate, descriptor};
use super::queue::{Answer, OnQueue};
use super::{configuration, told, url};
use crate::ByteStream;
use crate::vz::description::{MachineDescription, NetworkAttachment, SHARES_TAG, SharedFolder};
use crate::vz::error::{Cause, FrameworkError};
use crate::vz::framework::{Created, Machine, RunState};

/// Connections of the guest that wait to be taken.
const BACKLOG: usize = 16;

type Result<T> = std::result::Result<T, FrameworkError>;

/// What lives on the queue.
struct Body {
    machine: Retained<VZVirtualMachine>,
    /// The machine holds it weakly.
    _delegate: Retained<MachineDelegate>,
    network: NetworkAttachment,
    /// Those of listeners, which hold them weakly too.
    listeners: RefCell<Vec<Retained<ListenerDelegate>>>,
}

struct AppleMachine {
    body: OnQueue<Body>,
    memory: u64,
}

impl fmt::Debug for AppleMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppleMachine").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Makes a machine that is off.
pub(super) fn create(description: &MachineDescription) -> Result<Created> {
    // The file is begun anew here; its attachment only adds to it.
    fs_err::write(&description.console, "")
        .map_err(|error| FrameworkError::new(Cause::InvalidConfiguration, error.to_string()))?;
    let (tell, events) = mpsc::unbounded_channel();
    let made = OnQueue::new("dev.cove.machine", move |queue| {
        let (configuration, frames) = configuration::configure(description)?;
        let delegate = MachineDelegate::new(tell);
        // SAFETY: a valid description, and the queue on which this closure runs; the delegate is kept beside it.
        let machine = unsafe {
            let machine = VZVirtualMachine::initWithConfiguration_queue(
                VZVirtualMachine::alloc(),
                &configuration,
                queue,
            );
            machine.setDelegate(Some(ProtocolObject::from_ref(&*delegate)));
            machine
        };
        let network = description.network.attachment;
        Ok((Body { machine, _delegate: delegate, network, listeners: RefCell::default() }, frames))
    });
    let (body, frames) = made?;
    let machine = AppleMachine { body, memory: description.memory };
    Ok(Created { machine: Box::new(machine), events, frames })
}

/// A completion handler that passes an error, or none, on. The framework calls it once.
pub(super) fn completion(answer: Answer<()>) -> RcBlock<dyn Fn(*mut NSError)> {
    let answer = Mutex::new(Some(answer));
    RcBlock::new(move |error: *mut NSError| {
        let answer = answer.lock().ok().and_then(|mut answer| answer.take());
        if let Some(answer) = answer {
            // SAFETY: the framework passes nil or an error that lives during the call.
            let error = unsafe { error.as_ref() };
            answer.give(error.map_or(Ok(()), |error| Err(told(error))));
        }
    })
}

fn no_device(what: &str) -> FrameworkError {
    FrameworkError::new(Cause::NoDevice, format!("the machine has no {what}"))
}

/// The machine's device for sockets.
fn sockets(machine: &VZVirtualMachine) -> Result<Retained<VZVirtioSocketDevice>> {
    // SAFETY: a getter, on the machine's queue like every use of a `Body`.
    let first = unsafe { machine.socketDevices() }.firstObject();
    first.and_then(|device| device.downcast().ok()).ok_or_else(|| no_device("device for sockets"))
}

impl AppleMachine {
    /// A call whose completion handler says how it went.
    fn simple(
        &self,
        begin: impl FnOnce(&VZVirtualMachine, &RcBlock<dyn Fn(*mut NSError)>) + Send + 'static,
    ) -> BoxFuture<'_, Result<()>> {
        self.body.call(move |body, answer| begin(&body.machine, &completion(answer))).boxed()
    }

    /// A call that is over when it returns.
    fn at_once(&self, act: impl FnOnce(&Body) -> Result<()> + Send + 'static) -> BoxFuture<'_, Result<()>> {
        self.body.call(move |body, answer| answer.give(act(body))).boxed()
    }
}

impl Machine for AppleMachine {
    fn state(&self) -> RunState {
        // SAFETY: a getter, on the machine's queue.
        match self.body.look(|body| unsafe { body.machine.state() }) {
            VZVirtualMachineState::Stopped => RunState::Stopped,
            VZVirtualMachineState::Running => RunState::Running,
            VZVirtualMachineState::Paused => RunState::Paused,
            VZVirtualMachineState::Error => RunState::Error,
            VZVirtualMachineState::Starting => RunState::Starting,
            VZVirtualMachineState::Pausing => RunState::Pausing,
            VZVirtualMachineState::Resuming => RunState::Resuming,
            VZVirtualMachineState::Stopping => RunState::Stopping,
            VZVirtualMachineState::Saving => RunState::Saving,
            VZVirtualMachineState::Restoring => RunState::Restoring,
            _ => RunState::Unknown,
        }
    }

    fn start(&self) -> BoxFuture<'_, Result<()>> {
        // SAFETY: on the machine's queue; so are the five calls below.
        self.simple(|machine, done| unsafe { machine.startWithCompletionHandler(done) })
    }

    fn pause(&self) -> BoxFuture<'_, Result<()>> {
        // SAFETY: as in `start`.
        self.simple(|machine, done| unsafe { machine.pauseWithCompletionHandler(done) })
    }

    fn resume(&self) -> BoxFuture<'_, Result<()>> {
        // SAFETY: as in `start`.
        self.simple(|machine, done| unsafe { machine.resumeWithCompletionHandler(done) })
    }

    fn request_stop(&self) -> BoxFuture<'_, Result<()>> {
        // SAFETY: as in `start`.
        self.at_once(|body| unsafe { body.machine.requestStopWithError() }.map_err(|error| told(&error)))
    }

    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        // SAFETY: as in `start`.
        self.simple(|machine, done| unsafe { machine.stopWithCompletionHandler(done) })
    }

    fn save<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Result<()>> {
        let file = file.to_owned();
        // SAFETY: as in `start`; a method of macOS 14.
        self.simple(move |machine, done| unsafe {
            machine.saveMachineStateToURL_completionHandler(&url(&file), done);
        })
    }

    fn restore<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Result<()>> {
        let file = file.to_owned();
        // SAFETY: as in `start`; a method of macOS 14.
        self.simple(move |machine, done| unsafe {
            machine.restoreMachineStateFromURL_completionHandler(&url(&file), done);
        })
    }

    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream>> {
        async move { stream(self.body.call(move |body, answer| dial(body, port, answer)).await?) }.boxed()
    }

    fn listen(&self, port: u32) -> BoxFuture<'_, Result<mpsc::Receiver<ByteStream>>> {
        async move {
            let (tell, mut files) = mpsc::channel(BACKLOG);
            let (pass, streams) = mpsc::channel(1);
            let listening = Listening(port, ListenerDelegate::new(tell));
            self.body.call(move |body, answer| answer.give(listening.begin(body))).await?;
            tokio::spawn(async move {
                while let Some(file) = files.recv().await {
                    match stream(file) {
                        Ok(stream) => {
                            if pass.send(stream).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => tracing::warn!(%error, "a connection of the guest was lost"),
                    }
                }
            });
            Ok(streams)
        }
        .boxed()
    }

    fn set_shares<'a>(&'a self, shares: &'a [SharedFolder]) -> BoxFuture<'a, Result<()>> {
        let shares = shares.to_vec();
        self.at_once(move |body| {
            // SAFETY: on the machine's queue; the share belongs to nobody else.
            unsafe {
                let devices = body.machine.directorySharingDevices().to_vec();
                let mut devices = devices.into_iter();
                let ours = devices.find_map(|device| {
                    let device = device.downcast::<VZVirtioFileSystemDevice>().ok()?;
                    (device.tag().to_string() == SHARES_TAG).then_some(device)
                });
                let device = ours.ok_or_else(|| no_device("device for folders"))?;
                device.setShare(Some(&configuration::shares(&shares)));
            }
            Ok(())
        })
    }

    fn set_balloon_target(&self, bytes: u64) -> BoxFuture<'_, Result<()>> {
        self.at_once(move |body| {
            // SAFETY: on the machine's queue.
            unsafe {
                let first = body.machine.memoryBalloonDevices().firstObject();
                let balloon =
                    first.and_then(|device| device.downcast::<VZVirtioTraditionalMemoryBalloonDevice>().ok());
                balloon.ok_or_else(|| no_device("balloon"))?.setTargetVirtualMachineMemorySize(bytes);
            }
            Ok(())
        })
    }

    fn reattach_network(&self) -> BoxFuture<'_, Result<()>> {
        self.at_once(|body| {
            if body.network != NetworkAttachment::Nat {
                return Err(FrameworkError::new(Cause::Network, "the network's other end is gone"));
            }
            let (attachment, _) = configuration::attachment(body.network)?;
            // SAFETY: on the machine's queue; the attachment belongs to nobody else.
            unsafe {
                let first = body.machine.networkDevices().firstObject();
                first.ok_or_else(|| no_device("network card"))?.setAttachment(Some(&attachment));
            }
            Ok(())
        })
    }

    fn host_memory(&self) -> u64 {
        // A helper process of Apple's carries the memory and never gives it back: this is the most it can be.
        self.memory
    }
}

impl Drop for AppleMachine {
    fn drop(&mut self) {
        // The last reference ends a running machine too, by Apple's word; asked for, it ends before that.
        self.body.later(|body| {
            // SAFETY: on the machine's queue; nobody waits for the end.
            unsafe {
                if body.machine.canStop() {
                    body.machine.stopWithCompletionHandler(&RcBlock::new(|_: *mut NSError| {}));
                }
            }
        });
    }
}

/// A delegate on its way to the queue.
struct Listening(u32, Retained<ListenerDelegate>);

// SAFETY: made on one thread, moved to the queue once, used and kept there only.
unsafe impl Send for Listening {}

impl Listening {
    fn begin(self, body: &Body) -> Result<()> {
        let Self(port, delegate) = self;
        let device = sockets(&body.machine)?;
        // SAFETY: on the machine's queue. The listener holds its delegate weakly: it is kept as long as the machine.
        unsafe {
            let listener = VZVirtioSocketListener::new();
            listener.setDelegate(Some(ProtocolObject::from_ref(&*delegate)));
            device.setSocketListener_forPort(&listener, port);
        }
        body.listeners.borrow_mut().push(delegate);
        Ok(())
    }
}

/// Begins to connect; on the machine's queue.
fn dial(body: &Body, port: u32, answer: Answer<OwnedFd>) {
    let device = match sockets(&body.machine) {
        Ok(device) => device,
        Err(error) => return answer.give(Err(error)),
    };
    let answer = Mutex::new(Some(answer));
    let done = RcBlock::new(move |connection: *mut VZVirtioSocketConnection, error: *mut NSError| {
        let Some(answer) = answer.lock().ok().and_then(|mut answer| answer.take()) else { return };
        // SAFETY: the framework passes nil or objects that live during the call.
        let (connection, error) = unsafe { (connection.as_ref(), error.as_ref()) };
        answer.give(match (connection, error) {
            (Some(connection), _) => descriptor(connection)
                .map_err(|error| FrameworkError::new(Cause::NotListening, error.to_string())),
            (None, Some(error)) => Err(told(error)),
            (None, None) => {
                Err(FrameworkError::new(Cause::Internal, "there is neither a connection nor an error"))
            }
        });
    });
    // SAFETY: on the machine's queue.
    unsafe { device.connectToPort_completionHandler(port, &done) };
}

/// A connection's descriptor for reading and writing under tokio. It is a stream socket, whatever its family.
fn stream(file: OwnedFd) -> Result<ByteStream> {
    let socket = StdUnixStream::from(file);
    let stream = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
    match stream {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(FrameworkError::new(Cause::NotListening, error.to_string())),
    }
}
