//! Owns one virtual machine until told to stop.

fn main() {}
