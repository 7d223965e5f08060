//! What the builder adds to a Dockerfile: variables of the platform, and what its frontend can do.

use super::{Dockerfile, Variables};

/// Whether a Dockerfile's frontend can take named contexts (`--build-context`), which came with 1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedContexts {
    /// The file names no frontend: the builder's own decides.
    BuiltIn,
    /// The frontend that the file names is new enough.
    Yes,
    /// It is too old.
    No,
    /// It is somebody's own, which may do anything.
    Unknown,
}

/// The build argument that counts before a `# syntax=` line.
const SYNTAX: &str = "BUILDKIT_SYNTAX";

impl Dockerfile {
    /// The image of the frontend that the file or a build argument names. What stands behind it is the frontend's.
    pub fn frontend<'a>(&'a self, build_args: &'a Variables) -> Option<&'a str> {
        let named = build_args.get(SYNTAX).or(self.syntax.as_ref())?;
        named.split_whitespace().next()
    }

    /// Says what the frontend of the `# syntax=` line can do.
    pub fn named_contexts(&self) -> NamedContexts {
        let Some(syntax) = &self.syntax else { return NamedContexts::BuiltIn };
        let lower = syntax.to_ascii_lowercase();
        let image = lower.strip_prefix("docker.io/").unwrap_or(&lower);
        let Some(tag) = image.strip_prefix("docker/dockerfile") else { return NamedContexts::Unknown };
        let tag = match tag.strip_prefix(':') {
            Some(tag) => tag,
            None if tag.is_empty() => tag,
            None => return NamedContexts::Unknown,
        };
        // `1-labs`, `latest` and the like: what is not said of a version is the newest of it.
        let numbers = tag.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(0)), _) => NamedContexts::No,
            (Some(Ok(1)), Some(Ok(minor))) if minor < 4 => NamedContexts::No,
            _ => NamedContexts::Yes,
        }
    }
}

/// The variables that every Dockerfile may use in `FROM` without an `ARG`, for platforms written
/// `linux/arm64` or `linux/arm/v7`. Build arguments of the same names go before them.
pub fn platform_args(build: &str, target: &str) -> Variables {
    let of = |prefix: &'static str, platform: &str| {
        let mut parts = platform.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let values =
            [("OS", part()), ("ARCH", part()), ("VARIANT", part()), ("PLATFORM", platform.to_owned())];
        values.map(|(name, value)| (format!("{prefix}{name}"), value))
    };
    of("BUILD", build).into_iter().chain(of("TARGET", target)).collect()
}
