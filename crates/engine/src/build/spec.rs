//! What an image is built from and where it goes.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use devcontainer::Build;

use crate::containers::{ENVIRONMENT_LABEL, Identity, resource_name};

/// An image to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildSpec {
    /// What `COPY` sees.
    pub context: BuildContext,
    /// More contexts, by the name that `COPY --from=…`, `--mount=from=…` and `FROM` call them.
    pub contexts: BTreeMap<String, BuildContext>,
    /// Where the Dockerfile is.
    pub dockerfile: Dockerfile,
    /// The stage to build; the last one without it.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// What `RUN --mount=type=secret,id=…` sees, by id. In no image, no log and no process's arguments.
    pub secrets: BTreeMap<String, BuildSecret>,
    /// Platforms to build for, `linux/arm64`; the engine's own when there are none.
    pub platforms: Vec<String>,
    /// Images or caches to take cached layers from.
    pub cache_from: Vec<String>,
    /// Caches to write cached layers to.
    pub cache_to: Vec<String>,
    /// More arguments for `docker build`, as a person wrote them.
    pub options: Vec<String>,
    /// Whether to build every step again.
    pub no_cache: bool,
    /// Whether to ask registries for newer images than the engine has.
    pub pull: bool,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// The image's names. At least one, except with an [`BuildOutput::Other`].
    pub tags: Vec<String>,
    /// Where the image goes.
    pub output: BuildOutput,
}

/// Files of a build context in memory: path, permission bits, content. Folders come into being by themselves.
pub type ContextFiles = BTreeMap<Utf8PathBuf, (u32, Vec<u8>)>;

/// A tree of files that a build sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BuildContext {
    /// Nothing.
    #[default]
    Empty,
    /// A folder, as the engine's host names it; its `.dockerignore` counts.
    Folder(Utf8PathBuf),
    /// Files that are only here.
    Files(ContextFiles),
    /// What the builder fetches itself: `docker-image://…`, `oci-layout://…`, an address of git or of an archive.
    Address(String),
}

/// Where a Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// In a file, as the engine's host names it.
    File(Utf8PathBuf),
    /// Here.
    Text(String),
}

impl Default for Dockerfile {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A secret of a build.
#[derive(Clone, PartialEq, Eq)]
pub enum BuildSecret {
    /// Its bytes.
    Value(Vec<u8>),
    /// The file that holds it, as the engine's host names it.
    File(Utf8PathBuf),
}

impl std::fmt::Debug for BuildSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => out.write_str("Value(…)"),
            Self::File(path) => write!(out, "File({path})"),
        }
    }
}

/// Where a built image goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BuildOutput {
    /// Into the engine.
    #[default]
    Engine,
    /// To the registries that its names say.
    Push,
    /// Elsewhere, in the words of `docker buildx build --output`.
    Other(String),
}

/// Computes the build of a configuration's image. `digest` is that of the configuration; a changed one gives
/// the image another name, so that a running container keeps the image it was made of.
pub fn plan_build(build: &Build, identity: &Identity, digest: &str) -> BuildSpec {
    BuildSpec {
        context: BuildContext::Folder(build.context.clone()),
        dockerfile: Dockerfile::File(build.dockerfile.clone()),
        target: build.target.clone(),
        args: build.args.clone(),
        cache_from: build.cache_from.clone(),
        options: build.options.clone(),
        labels: BTreeMap::from([(ENVIRONMENT_LABEL.to_owned(), identity.environment.clone())]),
        tags: vec![image_tag(identity, digest)],
        ..BuildSpec::default()
    }
}

/// The name of the image that an environment builds: `cove-<id>:<start of the digest>`.
pub fn image_tag(identity: &Identity, digest: &str) -> String {
    let digest: String = digest.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("cove-{}:{digest}", resource_name(&identity.environment))
}

/// The instruction of a Dockerfile that gives an image this label. Quotes and dollars are kept, and a long value
/// is spread over many lines, since the builder takes none over 64 KiB. `None` for a value that no instruction can
/// hold: one with line ends, or 60 KB in a row without a letter or digit. JSON on one line always can be held.
pub fn label_instruction(name: &str, value: &str) -> Option<String> {
    const WISHED: usize = 16 * 1024;
    const LONGEST: usize = 60 * 1024;
    let mut text = format!("LABEL \"{}\"=\"", escaped(name)?);
    let mut length = text.len();
    for character in escaped(value)?.chars() {
        // A line that begins with a `#` or a blank, or ends with two backslashes, would be read differently.
        let may_break = character.is_ascii_alphanumeric() && !text.ends_with('\\');
        if may_break && length > WISHED {
            text.push_str("\\\n");
            length = 0;
        }
        text.push(character);
        length += character.len_utf8();
        if length > LONGEST {
            return None;
        }
    }
    text.push_str("\"\n");
    Some(text)
}

/// A text as it stands between double quotes of a Dockerfile.
fn escaped(text: &str) -> Option<String> {
    let mut written = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '\n' | '\r' => return None,
            '"' | '\\' | '$' => written.extend(['\\', character]),
            other => written.push(other),
        }
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_label_is_spread_over_lines_that_the_builder_takes() {
        let value = "[{\"a\":\"$x \\\\ # \"},".repeat(10_000);
        let text = label_instruction("devcontainer.metadata", &value).unwrap();
        assert!(text.lines().count() > 10 && text.lines().all(|line| line.len() < 60_000));
        assert!(
            text.lines().skip(1).all(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()))
        );
        assert_eq!(label_instruction("a", "x\ny"), None);
        assert_eq!(label_instruction("a b", "it's \"$5\"").unwrap(), "LABEL \"a b\"=\"it's \\\"\\$5\\\"\"\n");
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", BuildSecret::Value(b"s3cret".to_vec())), "Value(…)");
    }
}
