//! Messages between our own processes, with versions.
