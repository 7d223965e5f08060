//! A host that nobody sits at becomes a runner by itself.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use api::{JoinRequest, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::ControlPlane;

/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The control plane that a host is to become a runner of.
#[derive(Debug, Clone)]
pub struct JoinWish {
    /// Where it is.
    pub address: String,
    /// SHA-256 of its authority, in hex.
    pub authority: String,
    /// The file with the token.
    pub token_file: Utf8PathBuf,
}

impl ControlPlane {
    /// Joins, unless this computer belongs to one already. A server that is away is asked again; a token that does not serve
    /// is told of, and looked at again, for somebody may put another one there.
    pub async fn join_by_itself(self, wish: JoinWish) {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.membership() {
                Ok(Some(membership)) => {
                    return tracing::info!(address = membership.address, runner = %membership.runner, "a runner already");
                }
                Ok(None) => {}
                Err(problem) => tracing::warn!(%problem, "it is not known whether this computer is a runner"),
            }
            let joined = async {
                let token = token_of(&wish.token_file)?;
                let request =
                    JoinRequest { address: wish.address.clone(), authority: wish.authority.clone(), token };
                self.join(&request, Timestamp::now()).await
            };
            match joined.await {
                Ok(_) => return tracing::info!("the token was used, and its file is of no more use"),
                Err(problem) => tracing::warn!(%problem, again_in = ?pause, "this computer is no runner yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What a file says, which nobody but its owner may read.
fn token_of(file: &Utf8Path) -> Result<String, Problem> {
    let failed = |error: &std::io::Error| {
        Problem::new(ProblemCode::InvalidRequest, format!("the token cannot be read from {file}"))
            .caused_by(error)
    };
    let mode = fs_err::metadata(file).map_err(|error| failed(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let title = format!("others can read the token in {file}");
        return Err(Problem::new(ProblemCode::InvalidRequest, title).with_command(
            "make it its owner's alone, and a new token if others were here",
            format!("chmod 600 {file}"),
        ));
    }
    Ok(fs_err::read_to_string(file).map_err(|error| failed(&error))?.trim().to_owned())
}
