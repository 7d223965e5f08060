//! Answers the host: one request a stream, until the stream ends.
//!
//! The streams of one transport live as long as it does; what they started (processes, connections) ends with
//! them. The machine itself goes on when the host is away.

mod channel;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use protocol::agent::{AgentHello, FailureKind, Reply, Request};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use channel::Stream;
pub(crate) use channel::{Channel, ChannelError};

use crate::console::chain;
use crate::machine::Machine;
use crate::{
    configuration, connect, exec, files, listeners, metrics, power, put_file, reclaim, shares, watch,
};

/// Streams that the host may have open at once.
pub(crate) const STREAMS: usize = 4096;

/// Why a request was refused: what the host is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    kind: FailureKind,
    message: String,
}

impl Refusal {
    /// A refusal with these words.
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A refusal because of an error; its kind is told by the error of the system inside, if there is one.
    pub(crate) fn because(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut kind = FailureKind::Other;
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                kind = kind_of(error);
            }
            cause = error.source();
        }
        Self { kind, message: chain(error) }
    }

    /// The same refusal as another kind.
    pub(crate) fn of_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(protocol::agent::Failure { kind: refusal.kind, message: refusal.message })
    }
}

/// What the host is told about an error of the system.
pub(crate) fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::NotFound => FailureKind::NotFound,
        io::ErrorKind::ConnectionRefused => FailureKind::ConnectionRefused,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::NoSpace,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => FailureKind::Invalid,
        _ => FailureKind::Other,
    }
}

/// Serves a multiplexed transport until it is cut.
pub(crate) async fn serve<T>(transport: T, machine: Arc<Machine>) -> Result<(), yamux::ConnectionError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS);
    let mut connection = yamux::Connection::new(transport, config, yamux::Mode::Server);
    let mut requests = tokio::task::JoinSet::new();
    let outcome = loop {
        tokio::select! {
            inbound = std::future::poll_fn(|context| connection.poll_next_inbound(context)) => match inbound {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(stream)) => {
                    let machine = Arc::clone(&machine);
                    requests.spawn(async move { serve_stream(Box::new(stream.compat()), &machine).await });
                }
            },
            // Ended requests are dropped as they end, so that their memory is not held by the set.
            Some(_) = requests.join_next() => {}
        }
    };
    requests.shutdown().await;
    outcome
}

/// Answers the one request of a stream.
pub(crate) async fn serve_stream(stream: Stream, machine: &Arc<Machine>) {
    if let Err(error) = answer(Channel::new(stream), machine).await {
        let words = format!("a request was cut off: {}", chain(&error));
        machine.journal.write(protocol::agent::Level::Debug, "agent", words);
    }
}

async fn answer(mut channel: Channel, machine: &Arc<Machine>) -> Result<(), ChannelError> {
    let request = match channel.message::<Request>().await {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(ChannelError::NotAMessage(error)) => {
            let refusal =
                Refusal::new(FailureKind::Invalid, format!("this agent does not know the request: {error}"));
            return channel.finish(&Reply::from(refusal)).await;
        }
        Err(error) => return Err(error),
    };
    let reply = match request {
        Request::Exec(request) => return exec::serve(channel, request, machine).await,
        Request::Connect(target) => return connect::serve(channel, target).await,
        Request::Watch => return watch::serve(channel, machine).await,
        Request::FollowListeners => return listeners::serve(channel, machine).await,
        Request::Files => return files::serve(channel, machine).await,
        Request::PutFile { path, mode } => return put_file::serve(channel, &path, mode).await,
        Request::PowerOff => {
            channel.finish(&Reply::Done).await?;
            power::request(machine);
            return Ok(());
        }
        Request::Hello { protocol, version } => hello(protocol, &version, machine),
        Request::Configure(configuration) => machine.configure(configuration),
        Request::SetClock { unix_nanos } => done(set_clock(unix_nanos)),
        Request::Mount(share) => match shares::mount(&share) {
            Ok(()) => Reply::Done,
            Err(error) => Refusal::because(&error).of_kind(error.kind()).into(),
        },
        Request::Unmount { path } => match shares::unmount(&path) {
            Ok(()) => Reply::Done,
            Err(error) => Refusal::because(&error).of_kind(error.kind()).into(),
        },
        Request::Metrics => Reply::Metrics(metrics::now()),
        Request::Reclaim => match tokio::task::spawn_blocking(reclaim::now).await {
            Ok(reclaimed) => Reply::Reclaimed(reclaimed),
            Err(error) => Refusal::because(&error).into(),
        },
        Request::Listeners => {
            let found = tokio::task::spawn_blocking(|| listeners::Looker::default().look()).await;
            Reply::Listeners { listeners: found.unwrap_or_default() }
        }
        Request::Sync => {
            let synced = tokio::task::spawn_blocking(rustix::fs::sync).await;
            done(synced.map_err(io::Error::other))
        }
    };
    channel.finish(&reply).await
}

fn done(outcome: io::Result<()>) -> Reply {
    match outcome {
        Ok(()) => Reply::Done,
        Err(error) => Refusal::because(&error).into(),
    }
}

fn hello(protocol: protocol::Version, version: &str, machine: &Machine) -> Reply {
    machine.journal.info(format!("the host says hello: version {version}, protocol {protocol}"));
    if !protocol::VERSION.understands(protocol) {
        machine.journal.warn("the host speaks another protocol: it will have to start this machine anew");
    }
    let names = rustix::system::uname();
    Reply::Hello(AgentHello {
        protocol: protocol::VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: names.release().to_string_lossy().into_owned(),
        machine: names.machine().to_string_lossy().into_owned(),
        boot_id: machine.boot_id.clone(),
        configured: machine.is_configured(),
    })
}

fn set_clock(unix_nanos: i64) -> io::Result<()> {
    const SECOND: i64 = 1_000_000_000;
    let time = rustix::time::Timespec {
        tv_sec: unix_nanos.div_euclid(SECOND),
        tv_nsec: unix_nanos.rem_euclid(SECOND),
    };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time).map_err(Into::into)
}

impl Machine {
    fn configure(&self, configuration: protocol::agent::Configuration) -> Reply {
        match configuration::apply(configuration, &self.names, &self.environment, &self.journal) {
            Ok(()) => {
                self.configured.send_replace(true);
                Reply::Done
            }
            Err(error) => {
                self.journal.error(format!("the configuration was refused: {}", chain(&error)));
                let refusal = Refusal::because(&error);
                match &error {
                    configuration::ConfigurationError::Share(share) => refusal.of_kind(share.kind()).into(),
                    configuration::ConfigurationError::Hostname(_)
                    | configuration::ConfigurationError::Name { .. } => {
                        refusal.of_kind(FailureKind::Invalid).into()
                    }
                    configuration::ConfigurationError::Store(_) => refusal.into(),
                }
            }
        }
    }
}
