//! The line to a control plane: a WebSocket that carries one JSON value a message.

use api::{ErrorBody, Problem, ProblemCode};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use sync::{ToRunner, ToServer};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, Message};

use super::connect::Server;
use super::keys::Keys;

/// Where it is taken up.
const PATH: &str = "/v1/sync";

/// Largest message, in bytes: a document of the largest size, with its secrets.
const LARGEST: usize = 2 << 20;

type Stream = WebSocketStream<TlsStream<TcpStream>>;

/// What goes out.
pub(crate) struct Outgoing(SplitSink<Stream, Message>);

/// What comes in.
pub(crate) struct Incoming(SplitStream<Stream>);

/// Takes it up, as this computer.
pub(super) async fn take_up(
    server: &Server,
    identity: (&str, &Keys),
) -> Result<(Outgoing, Incoming), Problem> {
    let stream = server.open(Some(identity)).await?;
    let address = format!("wss://{}{PATH}", server.authority());
    let address = address.parse().map_err(|error| server.away(&error))?;
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let request = ClientRequestBuilder::new(address);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((stream, _)) => {
            let (outgoing, incoming) = stream.split();
            Ok((Outgoing(outgoing), Incoming(incoming)))
        }
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            if let Ok(body) = serde_json::from_slice::<ErrorBody>(body) {
                return Err(body.problem);
            }
            let title = format!("{} does not speak with runners: {}", server.address(), answer.status());
            Err(Problem::new(ProblemCode::VersionSkew, title))
        }
        Err(error) => Err(server.broken(&error)),
    }
}

impl Outgoing {
    /// Sends a message.
    ///
    /// # Errors
    /// The line has ended.
    pub(crate) async fn send(&mut self, message: &ToServer) -> Result<(), Error> {
        let text = serde_json::to_string(message).expect("messages are plain data that JSON can hold");
        self.0.send(Message::text(text)).await
    }

    /// Says good-bye, as well as it can be said.
    pub(crate) async fn close(mut self) {
        let _ = self.0.close().await;
    }
}

impl Incoming {
    /// The next message; nothing once the line has ended.
    pub(crate) async fn next(&mut self) -> Option<ToRunner> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => {
                    // A message that cannot be read is of a later version, as its type would tell.
                    return Some(serde_json::from_str(text.as_str()).unwrap_or(ToRunner::Unknown));
                }
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "the line to the control plane broke off");
                    return None;
                }
            }
        }
    }
}
