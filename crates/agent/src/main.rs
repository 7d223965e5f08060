//! PID 1 of the guest: brings the machine up, and serves the host.
//!
//! One static binary with four faces, told apart by the name it is started under:
//!
//! | name | what it is |
//! |---|---|
//! | `init` (as PID 1) | [`initramfs`]: finds the root file system and moves into it |
//! | `cove-agent boot` (as PID 1) | [`machine`]: everything from the first mount to power-off |
//! | `cove-session` | [`session`]: the last steps of a process before it becomes somebody else's program |
//! | `cove-runtime` | [`runtime`]: gives containers the host's certificates and proxies, then becomes the OCI runtime |
//! | `modprobe` | [`modules`]: what the kernel and the engine call for a module they miss |
//!
//! Everything the host or a container can send is sized and parsed without panics. Should one happen all the
//! same, it ends the task it happened in; PID 1 goes on.

mod cmdline;
mod configuration;
mod connect;
mod console;
mod data_disk;
mod device;
mod dhcp;
mod dns;
mod emulation;
mod engine;
mod exec;
mod files;
mod initramfs;
mod journal;
mod kernel_log;
mod listeners;
mod machine;
mod metrics;
mod modules;
mod mounts;
mod network;
mod power;
mod put_file;
mod reaper;
mod reclaim;
mod runtime;
mod server;
mod session;
mod shares;
mod superblock;
mod supervisor;
mod swap;
mod sys;
mod transport;
mod trust;
mod vsock;
mod watch;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .and_then(|path| Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let is_pid_1 = rustix::process::getpid().is_init();
    match name.as_str() {
        "cove-runtime" => runtime::main(rest),
        "cove-session" => session::main(&rest),
        "modprobe" => modules::main(&rest),
        _ if is_pid_1 && rest.first().is_some_and(|word| word == "boot") => machine::main(),
        _ if is_pid_1 => initramfs::main(),
        _ => {
            console::say(
                "cove-agent runs as the first process of a Cove machine; there is nothing to do here",
            );
            ExitCode::from(2)
        }
    }
}
