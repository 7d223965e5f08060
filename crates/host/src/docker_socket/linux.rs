//! systemd-tmpfiles makes what is in `/run` at each start.

pub(super) use super::tmpfiles_text as text;

pub(super) const AT_START: &str = "/etc/tmpfiles.d/cove-docker-socket.conf";
