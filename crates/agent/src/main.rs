//! PID 1 of the guest: brings the machine up, and serves the host.

fn main() {}
