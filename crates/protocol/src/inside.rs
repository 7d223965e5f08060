//! What the daemon tells `cove-inside`, the program inside of containers: one message frame on its standard input.

use serde::{Deserialize, Serialize};

/// Where every container of a machine has the program.
pub const PROGRAM: &str = "/dev/cove/bin/cove-inside";

/// Its argument that asks whether [`KEEP_ALIVE`] runs in the container: it succeeds then.
pub const KEPT_ALIVE: &str = "kept-alive";

/// Its argument that keeps the environment in use for as long as a command runs.
pub const KEEP_ALIVE: &str = "keep-alive";

/// Longest start message that is taken, in bytes. Real ones have some two thousand.
pub const MAX_START_BYTES: usize = 64 << 10;

/// First on the standard input of `cove-inside ssh`; the client's bytes follow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshStart {
    /// Private host key of this connection, in OpenSSH's form.
    pub host_key: String,
    /// Certificate of that key, in the form of a public key's line.
    pub certificate: String,
    /// The one key that may come in, in the form of a public key's line.
    pub client_key: String,
    /// The user's login shell.
    pub shell: String,
    /// Whether the client's ssh agent may be used from inside.
    #[serde(default)]
    pub agent: bool,
}

impl std::fmt::Debug for SshStart {
    /// Without the key: what is printed ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host_key: _, certificate, client_key, shell, agent } = self;
        f.debug_struct("SshStart")
            .field("certificate", certificate)
            .field("client_key", client_key)
            .field("shell", shell)
            .field("agent", agent)
            .finish_non_exhaustive()
    }
}
