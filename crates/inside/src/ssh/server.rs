//! What the client asks for, and what becomes of it.

use std::collections::HashMap;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelWriteHalf, Pty, Sig};

use super::channels::Channels;
use super::forward::{self, Listeners, Place};
use super::process::{self, Processes, Program, Running};
use super::sftp;
use super::terminal::{self, Wish};

/// Variables that one session may bring.
const MOST_VARIABLES: usize = 256;
/// Variables of clients that are taken: what their terminals and programs there need to agree with programs here. The
/// end `*` stands for any.
const VARIABLES: &[&str] = &[
    "COLORTERM",
    "GIT_PROTOCOL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "NO_COLOR",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TZ",
    "CURSOR_*",
    "JETBRAINS_*",
    "VSCODE_*",
    "WINDSURF_*",
    "ZED_*",
];

/// One client.
pub(super) struct Server {
    key: PublicKey,
    shell: String,
    channels: Channels,
    processes: Processes,
    listeners: Listeners,
    sessions: HashMap<ChannelId, Waiting>,
    running: HashMap<ChannelId, Running>,
}

/// A session channel on which nothing was started yet.
struct Waiting {
    write: ChannelWriteHalf<Msg>,
    env: Vec<(String, String)>,
    terminal: Option<Wish>,
}

impl Server {
    /// A server that lets one key in.
    pub(super) fn new(key: PublicKey, shell: String) -> Self {
        Self {
            key,
            shell,
            channels: Channels::default(),
            processes: Processes::default(),
            listeners: Listeners::default(),
            sessions: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// What it starts.
    pub(super) fn processes(&self) -> Processes {
        self.processes.clone()
    }

    fn start(
        &mut self,
        id: ChannelId,
        command: Option<&[u8]>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(waiting) = self.sessions.remove(&id) else { return session.channel_failure(id) };
        let Waiting { write, env, terminal } = waiting;
        let program = Program { shell: &self.shell, command, env, terminal };
        match process::start(&program, &self.processes) {
            Ok(started) => {
                session.channel_success(id)?;
                self.running.insert(id, started.running());
                let (inlet, closed) = self.channels.claim(id.number());
                tokio::spawn(started.carry(write, inlet, closed, session.handle()));
                Ok(())
            }
            Err(error) => {
                let words = format!("cove: cannot start {}: {error}\r\n", self.shell);
                session.channel_success(id)?;
                session.extended_data(id, 1, words.into_bytes())?;
                session.exit_status_request(id, 126)?;
                session.eof(id)?;
                session.close(id)
            }
        }
    }

    /// A channel of the client to a place inside.
    fn connect(&self, channel: Channel<Msg>, to: Place, reply: ChannelOpenHandle) {
        let (inlet, closed) = self.channels.claim(channel.id().number());
        let (_, write) = channel.split();
        tokio::spawn(forward::connect(to, reply, write, inlet, closed));
    }
}

impl Handler for Server {
    type Error = russh::Error;

    /// Whatever name the client gives: everything here runs as the one user.
    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = key.public_key.key_data() == self.key.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = channel.id();
        let (_, write) = channel.split();
        self.sessions.insert(id, Waiting { write, env: Vec::new(), terminal: None });
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.connect(channel, Place::tcp(host, port), reply);
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.connect(channel, Place::Unix(path.into()), reply);
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.push(id.number(), data).await;
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.end(id.number());
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.sessions.remove(&id);
        self.running.remove(&id);
        self.channels.close(id.number());
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        x_pixels: u32,
        y_pixels: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(waiting) = self.sessions.get_mut(&id) else { return session.channel_failure(id) };
        let size = terminal::size(columns, rows, x_pixels, y_pixels);
        waiting.terminal = Some(Wish { term: term.to_owned(), size, modes: modes.to_vec() });
        session.channel_success(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.sessions.get_mut(&id) {
            Some(waiting) if is_taken(name, value) && waiting.env.len() < MOST_VARIABLES => {
                waiting.env.push((name.to_owned(), value.to_owned()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, None, session)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(id, Some(command), session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name != "sftp" {
            return session.channel_failure(id);
        }
        let Some(waiting) = self.sessions.remove(&id) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let (inlet, closed) = self.channels.claim(id.number());
        tokio::spawn(sftp::serve(waiting.write, inlet, closed));
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        x_pixels: u32,
        y_pixels: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let size = terminal::size(columns, rows, x_pixels, y_pixels);
        if let Some(running) = self.running.get(&id) {
            running.resize(size);
        } else if let Some(wish) = self.sessions.get_mut(&id).and_then(|waiting| waiting.terminal.as_mut()) {
            wish.size = size;
        }
        session.channel_success(id)
    }

    /// The person's agent comes by grant, through the daemon, which sees each use of it: a client's would pass by it.
    async fn agent_request(&mut self, _id: ChannelId, _session: &mut Session) -> Result<bool, Self::Error> {
        Ok(false)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(running) = self.running.get(&id) {
            running.signal(&signal);
        }
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let opened = self.listeners.open_tcp(address, *port, session.handle(), self.channels.clone()).await;
        Ok(opened.map(|opened| *port = opened).is_ok())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(self.listeners.close_tcp(address, port))
    }

    async fn streamlocal_forward(&mut self, path: &str, session: &mut Session) -> Result<bool, Self::Error> {
        Ok(self.listeners.open_unix(path, session.handle(), self.channels.clone()).is_ok())
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &str,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(self.listeners.close_unix(path))
    }
}

fn is_taken(name: &str, value: &str) -> bool {
    let fits = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    };
    let is_name = !name.contains(['=', '\0']);
    is_name && !value.contains('\0') && VARIABLES.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_brings_its_language_and_not_its_paths() {
        for name in ["LANG", "LC_ALL", "LC_TIME", "COLORTERM", "VSCODE_AGENT_FOLDER", "GIT_PROTOCOL"] {
            assert!(is_taken(name, "x"), "{name}");
        }
        for name in ["PATH", "LD_PRELOAD", "HOME", "LANGX", "SSH_AUTH_SOCK", "", "LC_A=B"] {
            assert!(!is_taken(name, "x"), "{name}");
        }
        assert!(!is_taken("LANG", "a\0b"));
    }
}
