//! Docker's credential helpers: programs that keep passwords in the keychain of the platform.
//!
//! The protocol is that of `docker-credential-helpers`: the program's name is `docker-credential-<name>`, the
//! registry goes in over stdin, and the answer is JSON on stdout. Nothing secret is in an argument, and nothing the
//! helper wrote to stdout is ever told.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::Credential;

/// A helper may ask the person at the keyboard to unlock a keychain; one that hangs must not hang everything.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any credential.
const LONGEST_ANSWER: u64 = 64 << 10;
/// What helpers print when they know nothing of a registry; the protocol has no better sign.
const NOT_FOUND: [&str; 2] = ["credentials not found", "no usernames for"];
/// What they say instead of a user when the secret is an identity token.
const IDENTITY_USER: &str = "<token>";

/// A helper that gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("`{name}` is not the name of a credential helper")]
    Name { name: String },
    #[error("`docker-credential-{name}` is not on the PATH; install it, or take it out of the file")]
    Missing { name: String },
    #[error("`docker-credential-{name}` failed: {reason}")]
    Failed { name: String, reason: String },
    #[error("`docker-credential-{name}` ended with {status}{}", after_colon(.told))]
    Ended { name: String, status: std::process::ExitStatus, told: String },
    #[error("`docker-credential-{name}` was given up: no answer within {} seconds", PATIENCE.as_secs())]
    Hung { name: String },
    #[error("`docker-credential-{name}` spoke, but its answer cannot be read")]
    Answer { name: String },
}

fn after_colon(told: &str) -> String {
    if told.is_empty() { String::new() } else { format!(": {told}") }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: String,
}

/// Asks the helper for a registry's credentials; nothing if it has none.
pub(super) async fn get(
    name: &str,
    registry: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Credential>, HelperError> {
    let owned = || name.to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(HelperError::Name { name: owned() });
    }
    let Some(program) = on_path(&format!("docker-credential-{name}"), environment) else {
        return Err(HelperError::Missing { name: owned() });
    };
    let run = tokio::time::timeout(PATIENCE, run(program, registry, environment));
    let (status, out, err) = match run.await {
        Err(_) => return Err(HelperError::Hung { name: owned() }),
        Ok(Err(error)) => return Err(HelperError::Failed { name: owned(), reason: error.to_string() }),
        Ok(Ok(done)) => done,
    };
    if !status.success() {
        let not_found = NOT_FOUND.iter().any(|sign| out.contains(sign) || err.contains(sign));
        let told = err.trim().lines().next().unwrap_or_default().to_owned();
        return if not_found { Ok(None) } else { Err(HelperError::Ended { name: owned(), status, told }) };
    }
    if out.trim().is_empty() {
        return Ok(None);
    }
    let answer: Answer = serde_json::from_str(&out).map_err(|_| HelperError::Answer { name: owned() })?;
    Ok(Some(if answer.username == IDENTITY_USER {
        Credential::Identity(answer.secret)
    } else {
        Credential::Basic { user: answer.username, secret: answer.secret }
    }))
}

async fn run(
    program: Utf8PathBuf,
    registry: &str,
    environment: &BTreeMap<String, String>,
) -> std::io::Result<(std::process::ExitStatus, String, String)> {
    let mut child = Command::new(program)
        .arg("get")
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not care for the question may be gone already.
        let _ = stdin.write_all(registry.as_bytes()).await;
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let both = tokio::join!(read_some(stdout, &mut out), read_some(stderr, &mut err));
    both.0.and(both.1)?;
    let status = child.wait().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status, text(out), text(err)))
}

async fn read_some<R: tokio::io::AsyncRead + Unpin>(
    from: Option<R>,
    into: &mut Vec<u8>,
) -> std::io::Result<()> {
    match from {
        Some(from) => from.take(LONGEST_ANSWER).read_to_end(into).await.map(drop),
        None => Ok(()),
    }
}

/// Where a program is, by the PATH of this environment.
pub(super) fn on_path(program: &str, environment: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    let folders = environment.get("PATH")?.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| Utf8PathBuf::from(folder).join(program)).find(|path| path.is_file())
}
