//! Calls the daemon: requests, watch, upgraded streams.
