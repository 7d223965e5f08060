//! Calls of a server: of the one on this computer by the socket in its state folder, of others as who signed in there.

use api::control::{Document, Kind};
use api::{ErrorBody, Name, Problem, ProblemCode};
use axum::http::{Method, Request, Response, StatusCode};
use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::arguments::Access;
use super::logins::{Logins, Server};

/// A server, wherever it is.
pub(super) struct Remote {
    socket: Utf8PathBuf,
    access: Access,
    organization: Option<Name>,
}

impl Remote {
    pub(super) fn new(socket: Utf8PathBuf, access: Access, organization: Option<Name>) -> Self {
        Self { socket, access, organization }
    }

    /// The organization that was named.
    pub(super) fn named(&self) -> Option<&Name> {
        self.organization.as_ref()
    }

    /// The authority that was named.
    pub(super) fn authority(&self) -> Option<&str> {
        self.access.authority.as_deref()
    }

    /// The organization that was named, or the only one there is.
    pub(super) async fn organization(&self) -> Result<Name, Problem> {
        if let Some(organization) = &self.organization {
            return Ok(organization.clone());
        }
        let all: Vec<Document> = self.get("/v1/organizations").await?;
        match all.as_slice() {
            [only] => Ok(only.metadata.name.clone()),
            [] => Err(Problem::new(ProblemCode::ResourceNotFound, "there is no organization yet")
                .with_hint("apply a file that declares one, with --organization NAME")),
            _ => {
                let names: Vec<_> = all.iter().map(|one| one.metadata.name.as_str()).collect();
                let title = format!("there are several organizations: {}", names.join(", "));
                Err(Problem::new(ProblemCode::InvalidRequest, title)
                    .with_hint("name one with --organization"))
            }
        }
    }

    /// Where resources of a kind are.
    pub(super) async fn of_kind(&self, kind: Kind) -> Result<String, Problem> {
        if kind == Kind::Organization && self.organization.is_none() {
            return Ok("/v1/organizations".to_owned());
        }
        Ok(format!("/v1/organizations/{}/{}", self.organization().await?, kind.plural()))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        parsed(&self.call(Method::GET, path, Bytes::new()).await?)
    }

    /// The bytes of an answer, as they come.
    pub(super) async fn get_bytes(&self, path: &str) -> Result<Bytes, Problem> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| unexpected(&error))?;
        parsed(&self.call(Method::POST, path, body.into()).await?)
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| unexpected(&error))?;
        parsed(&self.call(Method::PUT, path, body.into()).await?)
    }

    /// Asks for something that answers nothing.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Option<Document>, Problem> {
        let answer = self.call(method, path, Bytes::new()).await?;
        if answer.is_empty() { Ok(None) } else { parsed(&answer).map(Some) }
    }

    /// The body of an answer that goes on for as long as the server has something to say.
    pub(super) async fn open(&self, path: &str) -> Result<Incoming, Problem> {
        let answer = match &self.way()? {
            Way::Socket(socket) => {
                let request = request(Method::GET, "", path, Bytes::new())?;
                by_socket(socket, request).await?
            }
            Way::Server(server) => server.open(path).await?,
        };
        let (status, body) = (answer.status(), answer.into_body());
        if status.is_success() {
            return Ok(body);
        }
        let told = body.collect().await.map_err(|error| unexpected(&error))?.to_bytes();
        Err(refusal(status, &told))
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Problem> {
        let answer = match &self.way()? {
            Way::Socket(socket) => {
                let answer = by_socket(socket, request(method, "", path, body)?).await?;
                let (head, body) = answer.into_parts();
                let bytes = body.collect().await.map_err(|error| away(socket, &error))?.to_bytes();
                Response::from_parts(head, bytes)
            }
            Way::Server(server) => server.send(method, path, body).await?,
        };
        success(answer)
    }

    /// How to get there: to the server that was named, to the one on this computer, or to the one that somebody signed in to.
    fn way(&self) -> Result<Way, Problem> {
        if let Some(server) = &self.access.server {
            return Server::named(server, &self.access).map(Way::Server);
        }
        if !self.socket.exists()
            && let Some(login) = Logins::read()?.only()?
        {
            return Server::of(login).map(Way::Server);
        }
        Ok(Way::Socket(self.socket.clone()))
    }

    /// The server elsewhere that this goes to, where it does.
    pub(super) fn server(&self) -> Result<Option<Server>, Problem> {
        Ok(match self.way()? {
            Way::Socket(_) => None,
            Way::Server(server) => Some(server),
        })
    }
}

/// How to get to a server.
enum Way {
    /// By the socket in its state folder.
    Socket(Utf8PathBuf),
    /// Over the network.
    Server(Server),
}

async fn by_socket(socket: &Utf8Path, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Problem> {
    let stream = UnixStream::connect(socket).await.map_err(|error| away(socket, &error))?;
    let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(|error| away(socket, &error))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| away(socket, &error))
}

fn away(socket: &Utf8Path, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::DaemonUnreachable, format!("no server answers on {socket}"))
        .caused_by(error)
        .with_command("start it, or name its state folder with --home", "cove-control serve")
        .with_command("or sign in to one elsewhere", "cove-control login https://control.example.com:8443")
}

/// A request of JSON, to a server that has this address.
pub(super) fn request(
    method: Method,
    address: &str,
    path: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Problem> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{address}{path}"))
        .header("host", "control")
        .header("content-type", "application/json")
        .body(Full::new(body));
    request.map_err(|error| unexpected(&error))
}

/// The body of an answer that is a success.
pub(super) fn success(answer: Response<Bytes>) -> Result<Bytes, Problem> {
    let (status, bytes) = (answer.status(), answer.into_body());
    if status.is_success() {
        return Ok(bytes);
    }
    Err(refusal(status, &bytes))
}

/// What a server said that did not do what it was asked for.
fn refusal(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).map_or_else(|_| no_form(status), |ErrorBody { problem, .. }| problem)
}

pub(super) fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let title = "the server's answer cannot be read: it may be of another version";
        Problem::new(ProblemCode::VersionSkew, title).caused_by(&error)
    })
}

pub(super) fn unexpected(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::Internal, "the request cannot be made").caused_by(error)
}

fn no_form(status: StatusCode) -> Problem {
    Problem::new(ProblemCode::VersionSkew, format!("the server answered {status} without a reason"))
}
