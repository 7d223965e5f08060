//! launchd runs a command at each start.

pub(super) use super::launchd_text as text;

pub(super) const AT_START: &str = "/Library/LaunchDaemons/dev.cove.docker-socket.plist";
