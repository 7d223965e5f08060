//! `sigaction(2)`, which tells what holds when it is given nothing new.
//!
//! Compiled for macOS on Linux, and never run.

#![allow(unsafe_code, reason = "no safe crate asks without setting")]

use std::mem::MaybeUninit;
use std::ptr::null;

use nix::libc::{SIG_IGN, sigaction};

pub(super) fn is_ignored(signal: i32) -> bool {
    let mut now = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: nothing is set, and the place has room for what is written there; all zeroes is a value of it too.
    let now = unsafe { (sigaction(signal, null(), now.as_mut_ptr()) == 0).then(|| now.assume_init()) };
    now.is_some_and(|now| now.sa_sigaction == SIG_IGN)
}
