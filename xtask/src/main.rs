//! Everything `make` does.

fn main() {}
