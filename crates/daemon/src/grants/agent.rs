//! One connection of a container to the person's ssh agent. Three things pass: which keys there are, a signature to log in,
//! and for which server the connection is. Keys are neither added nor removed, and nothing is locked.
//!
//! A grant for one host gives a signature only to log in there: the client has said so first, with the server's own
//! signature of the session (see [`host::ssh_agent`]), the person's ssh knows that server's key under the granted name,
//! and what is to be signed belongs to that very session.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use api::{Grant, GrantKind};
use host::ssh_agent::{Binding, FAILURE, MAX_BYTES, Purpose, Request, SUCCESS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::broker::{Broker, Leave, Wanted, short};
use super::known_hosts;

/// How long the agent may take: a person may have to touch a key.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long it may take to note for which server a connection is.
const BIND_PATIENCE: Duration = Duration::from_secs(5);

/// Most servers that one connection can be for, as in OpenSSH's own agent.
const MOST_BINDINGS: usize = 16;

/// A connection.
#[derive(Default)]
pub(super) struct Agent {
    upstream: Option<UnixStream>,
    bindings: Vec<Bound>,
    /// A binding was untrue, or there were too many.
    is_spoilt: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    host_key: Vec<u8>,
    session: Vec<u8>,
    forwards: bool,
}

impl Agent {
    /// The answer to one message.
    pub(super) async fn answer(&mut self, broker: &Broker, message: &[u8]) -> Vec<u8> {
        if !broker.admits().await {
            return FAILURE.to_vec();
        }
        let answered = match Request::read(message) {
            Some(Request::List) => self.list(broker, message).await,
            Some(Request::Bind(binding)) => self.bind(broker, &binding, message).await,
            Some(Request::Sign { data, .. }) => self.sign(broker, data, message).await,
            Some(Request::Other) | None => {
                let wanted = Wanted::new(GrantKind::SshAgent, None, "something else of the agent");
                Err(broker.refuse(wanted, "only listing keys and logging in pass").await)
            }
        };
        answered.unwrap_or_else(|reason| {
            tracing::debug!(reason, "an ssh agent's answer was refused");
            FAILURE.to_vec()
        })
    }

    async fn list(&mut self, broker: &Broker, message: &[u8]) -> Result<Vec<u8>, String> {
        let wanted = Wanted::new(GrantKind::SshAgent, None, "list the keys");
        let Some(grant) = broker.granted(GrantKind::SshAgent).into_iter().next() else {
            return Err(refuse_ungranted(broker, wanted).await);
        };
        let leave = broker.allow(grant, wanted).await?;
        self.ask(broker, leave, message).await
    }

    async fn bind(
        &mut self,
        broker: &Broker,
        binding: &Binding<'_>,
        message: &[u8],
    ) -> Result<Vec<u8>, String> {
        let wanted = || Wanted::new(GrantKind::SshAgent, None, "bind a connection to a server");
        let Some(grant) = broker.granted(GrantKind::SshAgent).into_iter().next() else {
            return Err(refuse_ungranted(broker, wanted()).await);
        };
        if !binding.is_true() || self.bindings.len() >= MOST_BINDINGS {
            self.is_spoilt = true;
            let reason =
                "the server's key has not signed that session, or is of a kind that is not known here";
            return Err(broker.refuse(wanted(), reason).await);
        }
        self.bindings.push(Bound {
            host_key: binding.host_key.to_vec(),
            session: binding.session.to_vec(),
            forwards: binding.forwards,
        });
        // An agent that knows such bindings may have limits of its own; one that does not is not needed for ours.
        match tokio::time::timeout(BIND_PATIENCE, self.carry(&grant.variables, message)).await {
            Ok(Ok(_)) => {}
            // Later answers must not be taken for this one's.
            Ok(Err(_)) | Err(_) => self.upstream = None,
        }
        Ok(SUCCESS.to_vec())
    }

    async fn sign(&mut self, broker: &Broker, data: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
        let (session, user, named_key) = match Purpose::of(data) {
            Purpose::Login { session, user, host_key } => (session, user, host_key),
            Purpose::Document { namespace } => {
                let namespace = short(&String::from_utf8_lossy(namespace));
                let wanted =
                    Wanted::new(GrantKind::Signing, None, format!("sign a document for `{namespace}`"));
                // What git signs is looked at before: see `signing`.
                let reason = "documents are signed for git alone, by `signing` and not by the agent";
                return Err(broker.refuse(wanted, reason).await);
            }
            Purpose::Unknown => {
                let wanted = Wanted::new(GrantKind::SshAgent, None, "sign something");
                return Err(broker.refuse(wanted, "it is not to log in").await);
            }
        };
        let purpose = format!("log in as `{}`", short(&String::from_utf8_lossy(user)));
        let grants = broker.granted(GrantKind::SshAgent);
        let wanted = |host: Option<&str>| Wanted::new(GrantKind::SshAgent, host, purpose.clone());
        if grants.is_empty() {
            return Err(refuse_ungranted(broker, wanted(None)).await);
        }
        match self.cover(broker, &grants, session, named_key).await {
            Ok(grant) => {
                let leave = broker.allow(grant.clone(), wanted(None)).await?;
                self.ask(broker, leave, message).await
            }
            Err(reason) => {
                let host = grants.iter().find_map(|grant| grant.host.as_deref());
                Err(broker.refuse(wanted(host), reason).await)
            }
        }
    }

    /// The grant that covers a login in this session.
    async fn cover<'a>(
        &self,
        broker: &Broker,
        grants: &'a [Grant],
        session: &[u8],
        named_key: Option<&[u8]>,
    ) -> Result<&'a Grant, String> {
        if self.is_spoilt {
            return Err("the connection claimed to be for a server that it is not for".to_owned());
        }
        let last = self.bindings.last();
        if last.is_some_and(|last| last.session != session || last.forwards) {
            return Err("the connection is for another session".to_owned());
        }
        if let (Some(last), Some(named)) = (last, named_key)
            && last.host_key != named
        {
            return Err("the connection is for another server".to_owned());
        }
        if let Some(grant) = grants.iter().find(|grant| grant.host.is_none()) {
            return Ok(grant);
        }
        let [only] = self.bindings.as_slice() else {
            return Err(if last.is_none() {
                "the client did not say for which server it is; OpenSSH says so since 8.9".to_owned()
            } else {
                "it is for a server behind another one, to which the agent was forwarded".to_owned()
            });
        };
        let mut reasons = Vec::new();
        for grant in grants {
            let Some(host) = &grant.host else { continue };
            match known_hosts::list(host, &only.host_key, &broker.means(grant)).await {
                Ok(true) => return Ok(grant),
                Ok(false) => reasons.push(format!("the server's key is not known here as that of {host}")),
                Err(error) => reasons.push(format!("{host} cannot be looked up: {error}")),
            }
        }
        Err(reasons.join("; "))
    }

    /// Hands a message on that was let through, and its answer back if that still may.
    async fn ask(&mut self, broker: &Broker, leave: Leave, message: &[u8]) -> Result<Vec<u8>, String> {
        let asked = tokio::time::timeout(PATIENCE, self.carry(&leave.grant.variables, message)).await;
        let answer = asked.map_err(io::Error::from).and_then(|answer| answer).map_err(|error| {
            self.upstream = None;
            tracing::info!(%error, "the ssh agent of this computer does not answer");
            format!("the ssh agent of this computer does not answer: {error}")
        })?;
        broker.confirm(&leave).await?;
        Ok(answer)
    }

    async fn carry(&mut self, variables: &BTreeMap<String, String>, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut upstream = match self.upstream.take() {
            Some(upstream) => upstream,
            None => UnixStream::connect(socket(variables)?).await?,
        };
        let mut framed = (message.len() as u32).to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        upstream.write_all(&framed).await?;
        let length = upstream.read_u32().await? as usize;
        if length == 0 || length > MAX_BYTES {
            return Err(io::Error::other("it speaks another protocol"));
        }
        let mut answer = vec![0; length];
        upstream.read_exact(&mut answer).await?;
        // Kept only when the answer was whole: an answer that comes late is to no later question.
        self.upstream = Some(upstream);
        Ok(answer)
    }
}

/// Where the person's agent is: as it was when they granted it, else as the daemon was told.
fn socket(variables: &BTreeMap<String, String>) -> io::Result<String> {
    let known = variables.get("SSH_AUTH_SOCK").cloned().or_else(|| std::env::var("SSH_AUTH_SOCK").ok());
    known.filter(|path| !path.is_empty()).ok_or_else(|| io::Error::other("SSH_AUTH_SOCK is not set"))
}

async fn refuse_ungranted(broker: &Broker, wanted: Wanted) -> String {
    let reason = broker.not_granted(wanted.kind, wanted.host.as_deref());
    broker.refuse(wanted, reason).await
}
