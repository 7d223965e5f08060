//! The ssh server of an environment: `cove-inside ssh` in its main container, for one connection.
//!
//! Whoever can speak to the daemon may run anything in a container already. The keys are for ssh clients: they know by
//! them that they speak with the environment they named, and nobody else in the container can come in as they do.

use std::time::Duration;

use api::{Environment, Problem, ProblemCode};
use engine::ExecSession;
use futures::StreamExt;
use host::ssh_keys::{ENDING, SshKeys};
use protocol::encode_json;
use protocol::inside::{PROGRAM, SshStart};
use provision::Workplace;
use provision::workplace::Program;
use tokio::io::AsyncWriteExt;

use crate::place::warned;
use crate::problems;
use crate::reconcile::Reconciler;

/// What every server says first.
const GREETING: &[u8] = b"SSH-2.0-";
/// How long it may take for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are kept of what something else says.
const MOST_WORDS: usize = 4096;

impl Reconciler {
    /// Starts a server for one client. `asked` is the name that the client knows the environment by; what the client
    /// says from now on is the server's input.
    ///
    /// # Errors
    /// The environment does not run, or there are no keys.
    pub async fn ssh(&self, environment: &Environment, asked: &str) -> Result<ExecSession, Problem> {
        let parts = self.parts();
        let place = self.working_place(&environment.id).await?;
        let start = start(parts.ssh.clone(), environment, asked, &place).await?;
        let (resolved, warning) = self.secrets_for(environment).await;
        let program = Program {
            argv: vec![PROGRAM.to_owned(), "ssh".to_owned()],
            env: resolved.secrets.variables().clone(),
            input: true,
            ..Program::default()
        };
        let session = place.engine().exec(place.container(), &place.exec_spec(program)).await;
        let mut session = session.map_err(|error| problems::from_exec(&error))?;
        let told = async {
            session.input.write_all(&encode_json(&start)).await?;
            session.input.flush().await
        };
        told.await.map_err(|error| no_server(environment).caused_by(&error))?;
        let session = greeted(session, environment).await?;
        Ok(warned(warning, self.counted(session, &environment.id, &resolved)))
    }
}

/// Waits for what a server says first. What cannot be started speaks otherwise, or not at all: to a client that would be
/// a broken protocol, and no reason.
async fn greeted(mut session: ExecSession, environment: &Environment) -> Result<ExecSession, Problem> {
    let mut before = Vec::new();
    let mut said = Vec::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        while said.len() < GREETING.len() || (!said.starts_with(GREETING) && said.len() < MOST_WORDS) {
            let Some(Ok((channel, piece))) = session.output.next().await else { break };
            said.extend_from_slice(&piece);
            before.push(Ok((channel, piece)));
        }
    });
    let in_time = waited.await.is_ok();
    if said.starts_with(GREETING) {
        session.output = futures::stream::iter(before).chain(session.output).boxed();
        return Ok(session);
    }
    if let Err(error) = session.control.kill().await {
        tracing::debug!(%error, "what was no ssh server may run on");
    }
    let mut problem = no_server(environment);
    if !in_time {
        problem = problem.with_hint(format!("it said nothing for {} seconds", PATIENCE.as_secs()));
    }
    problem.log_tail = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    Err(problem)
}

fn no_server(environment: &Environment) -> Problem {
    let name = &environment.metadata.name;
    let title = format!("the ssh server does not start in the container of `{name}`");
    Problem::new(ProblemCode::ContainerFailed, title)
        .with_hint("a container that runs since before an update of Cove does not have it yet")
        .with_command("start it again", format!("cove stop {name} && cove start {name}"))
}

async fn start(
    keys: camino::Utf8PathBuf,
    environment: &Environment,
    asked: &str,
    place: &Workplace,
) -> Result<SshStart, Problem> {
    let mut names = vec![format!("{}{ENDING}", asked.to_lowercase())];
    for known in [environment.metadata.name.as_str(), environment.id.as_str()] {
        let name = format!("{known}{ENDING}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let shell = place.account().shell.clone();
    let made = tokio::task::spawn_blocking(move || {
        let keys = SshKeys::provide(&keys)?;
        let host = keys.host(&names)?;
        Ok::<_, std::io::Error>(SshStart {
            host_key: host.private,
            certificate: host.certificate,
            client_key: keys.client_key()?,
            shell,
        })
    });
    let made = made.await.map_err(std::io::Error::other).and_then(|made| made);
    made.map_err(|error| {
        Problem::new(ProblemCode::Internal, "the keys for ssh cannot be read or made").caused_by(&error)
    })
}
