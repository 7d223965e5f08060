//! What the daemon tells `cove-inside`, the program inside of containers: one message frame on its standard input.

use serde::{Deserialize, Serialize};

/// Where every container of a machine has the program.
pub const PROGRAM: &str = "/dev/cove/bin/cove-inside";

/// Its argument that asks whether [`KEEP_ALIVE`] runs in the container: it succeeds then.
pub const KEPT_ALIVE: &str = "kept-alive";

/// Its argument that keeps the environment in use for as long as a command runs.
pub const KEEP_ALIVE: &str = "keep-alive";

/// Its argument that waits to be stopped: the first process of a container of ours that others work in.
pub const WAIT: &str = "wait";

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
}

impl std::fmt::Debug for SshStart {
    /// Without the key: what is printed ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host_key: _, certificate, client_key, shell } = self;
        f.debug_struct("SshStart")
            .field("certificate", certificate)
            .field("client_key", client_key)
            .field("shell", shell)
            .finish_non_exhaustive()
    }
}

/// The folder of `cove-inside secrets` in a container: on the tmpfs that every container has at `/dev`, so no layer and no
/// disk ever has what is in it, and it ends with the container's run.
pub const SECRETS: &str = "/dev/cove/secrets";

/// Longest order of `cove-inside secrets`, in bytes.
pub const MAX_SECRETS_BYTES: usize = 16 << 20;

/// One line of JSON on the standard input of `cove-inside secrets`: all files of secrets that there shall be. Said again
/// it changes nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFiles {
    /// User number of whom they are for.
    pub uid: u32,
    /// The group of that user.
    pub gid: u32,
    /// All of them.
    pub files: Vec<SecretFile>,
    /// Paths that earlier orders made and that shall not be there any more.
    pub gone: Vec<String>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Name of the secret.
    pub name: String,
    /// Where it is read, absolute.
    pub path: String,
    /// What is in it.
    pub value: String,
}

impl std::fmt::Debug for SecretFile {
    /// Without the value: what is printed ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretFile")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecretFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretFiles")
            .field("files", &self.files)
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

/// What it answers: one line of JSON on its standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsPlaced {
    /// Paths that are not as they shall be, and why.
    pub failed: std::collections::BTreeMap<String, String>,
}
