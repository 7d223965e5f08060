//! Keeps every environment on this computer in its wanted state.

fn main() {}
