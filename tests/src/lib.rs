//! Tests that cross crates; see the binaries beside this folder.
