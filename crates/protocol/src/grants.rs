//! What `cove-inside grants` and the daemon say to each other: requests of programs in a container for credentials that a
//! person granted, many at once, over the standard input and output of one process.
//!
//! The program in the container only carries. Each connection to one of its sockets has a number; a request of it is an
//! output frame, the answer an input frame, both beginning with that number. The next request of a connection follows
//! its answer. What is carried for [`Service::SshAgent`] is the protocol of ssh agents; for [`Service::Ask`] an [`Ask`]
//! and its [`Answer`], each one line of JSON and perhaps bytes behind it.

use serde::{Deserialize, Serialize};

/// Longest request and longest answer, in bytes: that of OpenSSH's agents.
pub const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// Most connections of one container at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// The folder of the sockets in the container, for a user.
pub fn folder(uid: u32) -> String {
    format!("/tmp/cove-grants-{uid}")
}

/// The socket that programs find by `SSH_AUTH_SOCK`, in that folder.
pub const AGENT_SOCKET: &str = "agent.sock";

/// The socket for [`Ask`], in that folder.
pub const ASK_SOCKET: &str = "ask.sock";

/// What Cove puts into the container for git, and for programs that are known by their names. Only root writes there, and it
/// goes with each start of the container: it is no part of a layer.
pub const GIT_CONFIG: &str = "/dev/cove/gitconfig";

/// Programs by names of their own, all of them `cove-inside`, beside [`GIT_CONFIG`].
pub const NAMED_FOLDER: &str = "/dev/cove/named";

/// Where programs lie that are to be found by `PATH` in front of others: `gh` and the credential helper of docker.
pub const COMMANDS_FOLDER: &str = "/usr/local/bin";

/// Who is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The ssh agent.
    SshAgent,
    /// The daemon itself.
    Ask,
}

/// What the program in the container tells of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromContainer {
    /// Its sockets are there.
    Ready,
    /// Somebody connected.
    Opened {
        /// The connection's number.
        connection: u32,
        /// To whom.
        service: Service,
    },
    /// Somebody is gone.
    Closed {
        /// The connection's number.
        connection: u32,
    },
}

/// What the daemon tells of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToContainer {
    /// This one is over.
    Close {
        /// The connection's number.
        connection: u32,
    },
}

/// The payload of a request or an answer.
pub fn numbered(connection: u32, message: &[u8]) -> Vec<u8> {
    [&connection.to_be_bytes()[..], message].concat()
}

/// What [`numbered`] put together; `None` for what is too short.
pub fn number_of(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (number, message) = payload.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), message))
}

/// Something a program in a container asks of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// What git needs to speak with a server.
    Git {
        /// `https`.
        protocol: String,
        /// The server, with its port where that is unusual.
        host: String,
        /// The path of the repository, where git tells it.
        #[serde(default)]
        path: Option<String>,
        /// The user, where the address names one.
        #[serde(default)]
        username: Option<String>,
    },
    /// A signature of the bytes behind it, which git made.
    Sign {
        /// Of what kind.
        format: SignatureFormat,
    },
    /// The token of `gh`.
    Gh {
        /// For this host.
        host: String,
    },
    /// The login at a registry.
    Registry {
        /// As docker names it.
        server: String,
    },
    /// A token of the control plane that says which environment this is.
    Identity {
        /// Whom it is for.
        audience: String,
    },
}

/// Kinds of signatures that git has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureFormat {
    /// By an ssh key.
    Ssh,
    /// By OpenPGP.
    Openpgp,
}

/// What the daemon answers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// No, and why not.
    Refused {
        /// For people.
        reason: String,
    },
    /// A user and a password or token.
    Login {
        /// The user.
        username: String,
        /// The password.
        secret: String,
        /// When it ends, in seconds since 1970, where that is known.
        #[serde(default)]
        expires: Option<i64>,
    },
    /// A token.
    Token {
        /// The token.
        secret: String,
    },
    /// The signature is behind it.
    Signed,
}

impl std::fmt::Debug for Answer {
    /// Without secrets: what is printed ends up in logs.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { reason } => out.debug_struct("Refused").field("reason", reason).finish(),
            Self::Login { .. } => out.write_str("Login"),
            Self::Token { .. } => out.write_str("Token"),
            Self::Signed => out.write_str("Signed"),
        }
    }
}

/// One line, and bytes behind it.
///
/// # Panics
/// Never for the types of this module: they are plain data.
pub fn with_bytes<T: Serialize>(line: &T, bytes: &[u8]) -> Vec<u8> {
    let mut message = serde_json::to_vec(line).expect("questions and answers are plain data");
    message.push(b'\n');
    message.extend_from_slice(bytes);
    message
}

/// What [`with_bytes`] put together; `None` for anything else.
pub fn line_and_bytes<T: serde::de::DeserializeOwned>(message: &[u8]) -> Option<(T, &[u8])> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = message.split_at(end);
    Some((serde_json::from_slice(line).ok()?, rest.get(1..)?))
}

/// What is to be in the container for git and others: one message frame on the standard input of `cove-inside
/// grants-files`, which root runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFiles {
    /// The text of [`GIT_CONFIG`].
    pub git_config: String,
    /// Whether `gh` is to be ours.
    #[serde(default)]
    pub gh: bool,
    /// Whether docker is to have our helper.
    #[serde(default)]
    pub docker: bool,
    /// Whether there is to be a `cove`, which has the tokens of the environment.
    #[serde(default)]
    pub cove: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart_again() {
        let message = with_bytes(&Ask::Sign { format: SignatureFormat::Ssh }, b"tree \n\xff");
        let payload = numbered(7, &message);
        let (number, message) = number_of(&payload).unwrap();
        let (ask, bytes): (Ask, _) = line_and_bytes(message).unwrap();
        assert_eq!((number, ask), (7, Ask::Sign { format: SignatureFormat::Ssh }));
        assert_eq!(bytes, b"tree \n\xff");
        assert_eq!(number_of(b"abc"), None);
        assert_eq!(line_and_bytes::<Ask>(b"{}"), None);
    }

    #[test]
    fn no_secret_is_printed() {
        let answers = [
            Answer::Login { username: "ada".into(), secret: "s3cret".into(), expires: None },
            Answer::Token { secret: "s3cret".into() },
        ];
        assert!(!format!("{answers:?}").contains("s3cret"));
    }
}
