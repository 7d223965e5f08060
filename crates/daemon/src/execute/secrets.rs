//! Put the files of secrets into the container, by `cove-inside secrets`.
//!
//! A failure is told of and is no failure of the environment: it can be worked in without them.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Problem, ProblemCode};
use engine::{Channel, ExecSession, ExecSpec};
use futures::StreamExt;
use protocol::inside::{PROGRAM, SecretFiles, SecretsPlaced};
use tokio::io::AsyncWriteExt;

use super::Turn;
use crate::secrets::place::Placed;
use crate::{observe, place, problems};

/// How long it may take on a busy machine.
const TIME: Duration = Duration::from_mins(1);

/// Most of a reason that is told, in characters.
const MOST_WORDS: usize = 300;

/// Longest answer that is taken from a container, in bytes.
const MOST_ANSWER: usize = 1 << 20;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let Some((wanted, order)) = turn.observation.secrets.order.clone() else { return Ok(()) };
    let masks = turn.parts.secrets_of(turn.environment)?.masks();
    let paths: Vec<String> = order.files.iter().map(|it| &it.path).chain(&order.gone).cloned().collect();
    let failed: BTreeMap<String, String> = match tokio::time::timeout(TIME, put(turn, order)).await {
        // Whoever has taken the program's place in the container may say anything.
        Ok(Ok(answer)) => answer.failed.into_iter().filter(|(path, _)| paths.contains(path)).collect(),
        Ok(Err(problem)) => {
            let why = problem.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
            BTreeMap::from([(String::new(), format!("{}{why}", problem.title))])
        }
        Err(_) => BTreeMap::from([(String::new(), "it took too long".to_owned())]),
    };
    let harmless = |why: String| masks.apply(&why.chars().take(MOST_WORDS).collect::<String>()).into_owned();
    let failed = failed.into_iter().map(|(path, why)| (path, harmless(why))).collect();
    turn.memory.placed = Some(Placed::new(wanted, failed));
    Ok(())
}

async fn put(turn: &Turn<'_>, mut order: SecretFiles) -> Result<SecretsPlaced, Problem> {
    let config = turn.config()?;
    let gone = || Problem::new(ProblemCode::ContainerFailed, "the container is gone");
    let found = observe::main_container(turn.parts, turn.environment).await?.ok_or_else(gone)?;
    let (place, _) = place::of(turn.parts, &config, &found, turn.report).await?;
    (order.uid, order.gid) = (place.account().uid, place.account().gid);
    let spec = ExecSpec {
        argv: [PROGRAM, "secrets"].map(str::to_owned).to_vec(),
        user: Some("0:0".to_owned()),
        cwd: Some("/".to_owned()),
        input: true,
        ..ExecSpec::default()
    };
    let session = place.engine().exec(&found.id, &spec).await.map_err(|error| problems::from_exec(&error))?;
    told(session, &order).await
}

async fn told(session: ExecSession, order: &SecretFiles) -> Result<SecretsPlaced, Problem> {
    let ExecSession { mut input, mut output, control: _ } = session;
    let mut line = serde_json::to_vec(order).map_err(|error| unheard(&error.to_string()))?;
    line.push(b'\n');
    // What cannot be started says why in the place of an answer.
    let _ = async {
        input.write_all(&line).await?;
        input.flush().await
    }
    .await;
    let (mut answer, mut words) = (Vec::new(), Vec::new());
    while let Some(Ok((channel, bytes))) = output.next().await {
        let into = if channel == Channel::Out { &mut answer } else { &mut words };
        into.extend_from_slice(&bytes[..bytes.len().min(MOST_ANSWER.saturating_sub(into.len()))]);
    }
    serde_json::from_slice(&answer).map_err(|_| {
        words.extend_from_slice(&answer);
        let words = String::from_utf8_lossy(&words);
        unheard(words.lines().next().unwrap_or("nobody answered").trim())
    })
}

fn unheard(why: &str) -> Problem {
    Problem::new(ProblemCode::SecretNotPlaced, why)
}
