//! The file of secrets.

use provision::Secrets;

use crate::Surroundings;
use crate::arguments;
use crate::outcome::Failure;
use crate::target::absolute;

/// Reads the secrets that a person gives; none without a file.
pub(crate) fn read(
    arguments: &arguments::Secrets,
    surroundings: &Surroundings<'_>,
) -> Result<Secrets, Failure> {
    const FAILING: &str = "Failed to read/parse secrets";
    let Some(path) = &arguments.secrets_file else { return Ok(Secrets::default()) };
    let path = absolute(&surroundings.folder, path);
    let text = std::fs::read(&path)
        .map_err(|error| Failure { message: format!("{path}: {error}"), ..Failure::plain(FAILING) })?;
    Secrets::parse(&text)
        .map_err(|error| Failure { message: format!("{path}: {error}"), ..Failure::plain(FAILING) })
}
