//! Questions of our own programs in a container: what git, its signing, `gh` and docker ask for.

use api::{Grant, GrantKind};
use oci::Credential;
use protocol::grants::{Answer, Ask, line_and_bytes, with_bytes};

use super::broker::{Broker, Wanted};
use super::{git, programs, signing};

/// The answer to one question.
pub(super) async fn answer(broker: &Broker, message: &[u8]) -> Vec<u8> {
    let refused = |reason: String| with_bytes(&Answer::Refused { reason }, &[]);
    if !broker.admits().await {
        return refused("it is asked for too often; wait a minute".to_owned());
    }
    let Some((ask, bytes)) = line_and_bytes::<Ask>(message) else {
        return refused("the question is not understood; start the environment again".to_owned());
    };
    let answered = match ask {
        Ask::Git { protocol, host, path, username } => {
            let login = git::Wanted { protocol, host, path, username };
            git::login(broker, &login).await.map(|answer| with_bytes(&answer, &[]))
        }
        Ask::Sign { format } => signing::sign(broker, format, bytes)
            .await
            .map(|signature| with_bytes(&Answer::Signed, &signature)),
        Ask::Gh { host } => gh(broker, &host).await.map(|answer| with_bytes(&answer, &[])),
        Ask::Registry { server } => registry(broker, &server).await.map(|answer| with_bytes(&answer, &[])),
        Ask::Identity { audience } => {
            broker.identity(&audience).await.map(|secret| with_bytes(&Answer::Token { secret }, &[]))
        }
    };
    answered.unwrap_or_else(refused)
}

/// The grant of a kind for a host, or the refusal, which is written down.
pub(super) async fn granted(broker: &Broker, wanted: &Wanted) -> Result<Grant, String> {
    let mut grants = broker.granted(wanted.kind).into_iter();
    if let Some(grant) = grants.find(|grant| grant.host == wanted.host) {
        return Ok(grant);
    }
    let reason = broker.not_granted(wanted.kind, wanted.host.as_deref());
    Err(broker.refuse(wanted.clone(), reason).await)
}

async fn gh(broker: &Broker, host: &str) -> Result<Answer, String> {
    let wanted = Wanted::new(GrantKind::Gh, Some(&host.to_ascii_lowercase()), "a run of gh");
    let grant = granted(broker, &wanted).await?;
    let leave = broker.allow(grant, wanted).await?;
    let host = leave.grant.host.as_deref().unwrap_or_default();
    let argv = ["gh", "auth", "token", "--hostname", host];
    let said = programs::lines(&argv, &broker.means(&leave.grant), b"").await;
    let said = said.map_err(|error| told(&error))?;
    broker.confirm(&leave).await?;
    match said.into_iter().next().filter(|token| !token.is_empty()) {
        Some(secret) => Ok(Answer::Token { secret }),
        None => Err(format!("gh on this computer has no token for {host}")),
    }
}

/// The registry that docker means: `https://index.docker.io/v1/` is docker.io.
fn registry_of(server: &str) -> String {
    let server = server.strip_prefix("https://").unwrap_or(server);
    GrantKind::Registry.host(server.split('/').next().unwrap_or_default())
}

async fn registry(broker: &Broker, server: &str) -> Result<Answer, String> {
    let host = registry_of(server);
    let wanted = Wanted::new(GrantKind::Registry, Some(&host), "the login of docker");
    let grant = granted(broker, &wanted).await?;
    let leave = broker.allow(grant, wanted).await?;
    // Neither the daemon's own tokens nor what other tools would take for a login at that registry.
    let found = oci::docker_credential(&host, broker.means(&leave.grant).named()).await;
    broker.confirm(&leave).await?;
    match found {
        Some(Credential::Basic { user: username, secret }) => {
            Ok(Answer::Login { username, secret, expires: None })
        }
        // As credential helpers spell it.
        Some(Credential::Identity(secret)) => {
            Ok(Answer::Login { username: "<token>".to_owned(), secret, expires: None })
        }
        Some(Credential::Registry(_)) | None => {
            Err(format!("docker on this computer has no login for {host}"))
        }
    }
}

/// The words for who asks; the log has the causes.
pub(super) fn told(error: &programs::ProgramError) -> String {
    tracing::info!(error = error as &dyn std::error::Error, "a program of this computer gave no credential");
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_has_many_names_for_its_own_registry() {
        for (server, host) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("ghcr.io", "ghcr.io"),
            ("https://Registry.example.com:5000/v2/", "registry.example.com:5000"),
        ] {
            assert_eq!(registry_of(server), host);
        }
    }
}
