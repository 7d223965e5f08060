//! Finds an engine that is not ours, the way the `docker` command does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::ClientVersion;
use bytes::Bytes;
use camino::Utf8PathBuf;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::dial::Dialer;
use super::{API_VERSION, DEFAULT_BUILDER, Endpoint, Engine};
use crate::error::Cause;
use crate::tools::{HostTools, ToolCommand, ToolError, run_to_end};

/// Where the engine is when nobody says anything.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The oldest API that serves what we ask of it, that of Docker 20.10.
const OLDEST_API: (usize, usize) = (1, 41);

/// How long the way to an engine may take, over ssh for instance.
const DEADLINE: Duration = Duration::from_mins(1);

/// The largest answer to a ping that is read.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// How a person reaches an engine: the commands, and variables on top of this process's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerAccess {
    /// The `docker` command, a name or a path.
    pub docker_path: String,
    /// The command to use for compose where `docker` has no plugin for it.
    pub compose_path: String,
    /// Variables such as `DOCKER_HOST`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`.
    pub env: BTreeMap<String, String>,
}

impl Default for DockerAccess {
    fn default() -> Self {
        Self {
            docker_path: "docker".to_owned(),
            compose_path: "docker-compose".to_owned(),
            env: BTreeMap::new(),
        }
    }
}

/// An engine could not be found or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The address is of a kind that we cannot follow.
    #[error("cannot reach a container engine at `{address}`, expected `unix://…`, `tcp://…` or `ssh://…`")]
    UnknownAddress {
        /// The address as it was given.
        address: String,
    },
    /// The docker context does not say where the engine is.
    #[error("the docker context `{context}` cannot be used: {message}")]
    Context {
        /// The context's name.
        context: String,
        /// What is wrong with it.
        message: String,
    },
    /// The `docker` command could not be run.
    #[error("could not run `{docker}`; install Docker's command line or name it with `--docker-path`")]
    NoDocker {
        /// The command.
        docker: String,
        /// Why not.
        #[source]
        source: ToolError,
    },
    /// Nobody answers, or no engine.
    #[error("no container engine answers at `{endpoint}`; start it, or set DOCKER_HOST to where it is")]
    Unreachable {
        /// What was tried.
        endpoint: Endpoint,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// The engine is older than anything we know.
    #[error("the container engine at `{endpoint}` serves API {api}, at least 1.41 (Docker 20.10) is needed")]
    TooOld {
        /// The engine.
        endpoint: Endpoint,
        /// The newest API it serves.
        api: String,
    },
}

impl Engine {
    /// Finds the engine that the `docker` command would use: by `DOCKER_HOST`, else by the docker context, else at
    /// the usual socket. Connects to it once, to learn what it speaks.
    pub async fn foreign(access: DockerAccess) -> Result<Self, AccessError> {
        let tools = HostTools::new(access.env.clone()).with_program("docker", &access.docker_path);
        let (endpoint, builder) = find(&access, &tools).await?;
        let dialer = Dialer::new(endpoint.clone(), access.docker_path.clone(), access.env.clone());
        let asked = tokio::time::timeout(DEADLINE, ask_api(&dialer)).await;
        let api = match asked.unwrap_or_else(|_| Err("it took longer than a minute to answer".into())) {
            Ok(api) => api,
            Err(source) => {
                let source = better_words(&endpoint, &tools, source).await;
                return Err(AccessError::Unreachable { endpoint, source });
            }
        };
        let parts = api.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
        let Some((Ok(major), Ok(minor))) = parts else {
            let source = format!("it says that its API is `{api}`").into();
            return Err(AccessError::Unreachable { endpoint, source });
        };
        if (major, minor) < OLDEST_API {
            return Err(AccessError::TooOld { endpoint, api });
        }
        let ours = (API_VERSION.major_version, API_VERSION.minor_version);
        let (major_version, minor_version) = ours.min((major, minor));
        Ok(Self {
            dialer,
            api_version: ClientVersion { major_version, minor_version },
            tools: Arc::new(tools),
            compose: Arc::default(),
            compose_path: Some(access.compose_path),
            builder,
        })
    }
}

/// Where `docker` would look, and what buildx calls the builder there.
async fn find(access: &DockerAccess, tools: &HostTools) -> Result<(Endpoint, String), AccessError> {
    let default = |endpoint| (endpoint, DEFAULT_BUILDER.to_owned());
    let variable = |name: &str| {
        let value = access.env.get(name).cloned().or_else(|| std::env::var(name).ok());
        value.filter(|value| !value.is_empty())
    };
    if let Some(address) = variable("DOCKER_HOST") {
        let with_tls = variable("DOCKER_TLS_VERIFY").is_some() || variable("DOCKER_TLS").is_some();
        return parse(&address, with_tls).map(default);
    }
    let mut context = variable("DOCKER_CONTEXT");
    if context.is_none() {
        let home = || variable("HOME").map(|home| Utf8PathBuf::from(home).join(".docker"));
        if let Some(folder) = variable("DOCKER_CONFIG").map(Utf8PathBuf::from).or_else(home) {
            context = current_context(&folder.join("config.json")).await;
        }
    }
    match context.filter(|context| context != "default") {
        Some(context) => Ok((inspect_context(access, tools, context.clone()).await?, context)),
        None => Ok(default(Endpoint::Socket(DEFAULT_SOCKET.into()))),
    }
}

/// The context that a person chose with `docker context use`. A file that cannot be read says none, as for `docker`.
async fn current_context(file: &camino::Utf8Path) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct DockerConfig {
        current_context: Option<String>,
    }
    let text = tokio::fs::read(file).await.ok()?;
    serde_json::from_slice::<DockerConfig>(&text).ok()?.current_context.filter(|name| !name.is_empty())
}

/// What `docker context inspect` says, as far as we look at it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    endpoints: BTreeMap<String, ContextEndpoint>,
    #[serde(rename = "TLSMaterial", default)]
    tls_material: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
}

async fn inspect_context(
    access: &DockerAccess,
    tools: &HostTools,
    context: String,
) -> Result<Endpoint, AccessError> {
    let command = ToolCommand::new(["docker", "context", "inspect", "--format", "{{json .}}", &context]);
    let output = run_to_end(tools, command)
        .await
        .map_err(|source| AccessError::NoDocker { docker: access.docker_path.clone(), source })?;
    let failed = |message: String| AccessError::Context { context: context.clone(), message };
    if output.code != 0 {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let said: Context = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    let endpoint = said.endpoints.get("docker").filter(|endpoint| !endpoint.host.is_empty());
    let endpoint = endpoint.ok_or_else(|| failed("it names no engine".to_owned()))?;
    parse(&endpoint.host, said.tls_material.contains_key("docker"))
}

/// Reads an address such as `DOCKER_HOST` holds.
fn parse(address: &str, with_tls: bool) -> Result<Endpoint, AccessError> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("tcp", address));
    let through_docker = || Ok(Endpoint::ThroughDocker { address: address.to_owned() });
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Endpoint::Socket(rest.into())),
        "tcp" if with_tls => through_docker(),
        "tcp" | "http" if !rest.is_empty() => {
            let host = rest.trim_end_matches('/');
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            Ok(Endpoint::Tcp(if has_port { host.to_owned() } else { format!("{host}:2375") }))
        }
        "ssh" if !rest.is_empty() => through_docker(),
        _ => Err(AccessError::UnknownAddress { address: address.to_owned() }),
    }
}

/// Asks for the newest API without saying one, which every engine answers. A ping says it in a header; to tell its
/// whole version an engine starts other programs, which takes it longer than all that `up` asks of a running container.
async fn ask_api(dialer: &Dialer) -> Result<String, Cause> {
    let stream = dialer.dial().await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream.whole())).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("/_ping").header(HOST, "docker").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let api = answer.headers().get("Api-Version").and_then(|api| api.to_str().ok()).map(str::to_owned);
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
    connection.abort();
    if !status.is_success() {
        return Err(format!("it answered {status}: {}", String::from_utf8_lossy(&body)).into());
    }
    api.ok_or_else(|| "it does not say which API it serves, as a container engine would".into())
}

/// Where `docker` makes the connection, it knows why it cannot.
async fn better_words(endpoint: &Endpoint, tools: &HostTools, source: Cause) -> Cause {
    if !matches!(endpoint, Endpoint::ThroughDocker { .. }) {
        return source;
    }
    let command = ToolCommand::new(["docker", "version", "--format", "{{.Server.Version}}"]);
    match run_to_end(tools, command).await {
        Ok(output) if output.code != 0 => String::from_utf8_lossy(&output.stderr).trim().into(),
        Ok(_) => source,
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_docker_does() {
        let socket = |path: &str| Ok(Endpoint::Socket(path.into()));
        let tcp = |address: &str| Ok(Endpoint::Tcp(address.to_owned()));
        let through = |address: &str| Ok(Endpoint::ThroughDocker { address: address.to_owned() });
        for (address, with_tls, expected) in [
            ("unix:///run/a.sock", true, socket("/run/a.sock")),
            ("tcp://10.0.0.1:2375", false, tcp("10.0.0.1:2375")),
            ("tcp://host/", false, tcp("host:2375")),
            ("tcp://[::1]:77", false, tcp("[::1]:77")),
            ("host:99", false, tcp("host:99")),
            ("tcp://host:2376", true, through("tcp://host:2376")),
            ("ssh://me@host", false, through("ssh://me@host")),
            ("npipe:////./pipe/docker_engine", false, Err(())),
            ("unix://relative", false, Err(())),
            ("fd://3", false, Err(())),
        ] {
            assert_eq!(parse(address, with_tls).map_err(|_| ()), expected, "{address}");
        }
    }
}
