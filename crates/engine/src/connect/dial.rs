//! Opens connections to an engine's API, wherever it is.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard::BollardRequest;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdout, Command};

use super::Endpoint;

/// A connection to the engine's API. Dropping one half ends that direction.
pub(crate) struct Connection {
    pub(crate) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Connection {
    fn new(
        (read, write): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
    ) -> Self {
        Self { read: Box::new(read), write: Box::new(write) }
    }

    /// Both directions as one.
    pub(crate) fn whole(self) -> impl AsyncRead + AsyncWrite + Send + Unpin {
        tokio::io::join(self.read, self.write)
    }
}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    /// The `docker` that finds the way, with variables for it.
    docker: (String, BTreeMap<String, String>),
}

impl Dialer {
    /// For an endpoint that needs no command.
    pub(super) fn plain(endpoint: Endpoint) -> Self {
        Self::new(endpoint, "docker".to_owned(), BTreeMap::new())
    }

    pub(super) fn new(endpoint: Endpoint, docker: String, env: BTreeMap<String, String>) -> Self {
        Self(Arc::new(Inner { endpoint, docker: (docker, env) }))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Makes one request on a connection of its own.
    pub(super) async fn request(
        self,
        request: BollardRequest,
    ) -> Result<hyper::Response<Incoming>, bollard::errors::Error> {
        let request = addressed(request);
        let stream = self.dial().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream.whole())).await?;
        // Ends with the answer's body, or with the engine.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }

    pub(super) async fn dial(&self) -> io::Result<Connection> {
        match &self.0.endpoint {
            Endpoint::Socket(path) => Ok(Connection::new(UnixStream::connect(path).await?.into_split())),
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Connection::new(stream.into_split()))
            }
            Endpoint::ThroughDocker { .. } => {
                let (docker, env) = &self.0.docker;
                dial_stdio(docker, env)
            }
        }
    }
}

/// The request as a server expects it: the path alone, and a name for the host.
fn addressed(mut request: BollardRequest) -> BollardRequest {
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request
}

fn dial_stdio(docker: &str, env: &BTreeMap<String, String>) -> io::Result<Connection> {
    let mut command = Command::new(docker);
    command.args(["system", "dial-stdio"]).envs(env).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(io::Error::other("the command has no pipes"));
    };
    Ok(Connection::new((Dialed { output, _child: child }, input)))
}

/// What comes back from a connection that a running command holds, which ends with this value.
struct Dialed {
    output: ChildStdout,
    /// Killed when dropped.
    _child: Child,
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}
