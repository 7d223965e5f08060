//! Which Debian mirror this machine uses, read from its own apt configuration.
//!
//! apt itself does the reading, so every form it knows counts: one-line `.list` files, deb822 `.sources` files,
//! options in brackets. The project names no mirror.

use super::host_tools::{APT_GET, ToolError, run};

/// Suites of Debian that tell its archive from a vendor's repository in the same configuration.
const SUITES: &[&str] =
    &["bookworm", "duke", "forky", "oldstable", "sid", "stable", "testing", "trixie", "unstable"];

/// Where Debian's archives are, for this machine. URIs have no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The main archive.
    pub(crate) archive: String,
    /// The security archive, where the machine has one configured.
    pub(crate) security: Option<String>,
}

/// No mirror could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorError {
    /// apt could not be asked.
    #[error("could not read the apt configuration of this machine")]
    Apt(#[from] ToolError),
    /// apt is configured, but without Debian.
    #[error(
        "the apt configuration of this machine names no Debian archive; the guest image is made of Debian packages, so add one to /etc/apt/sources.list.d"
    )]
    NoDebian,
}

impl Mirror {
    /// Asks apt.
    pub(crate) fn of_this_machine() -> Result<Self, MirrorError> {
        let printed = run(APT_GET.command()?.args(["update", "--print-uris"]))?;
        Self::parse(&String::from_utf8_lossy(&printed)).ok_or(MirrorError::NoDebian)
    }

    /// Finds the archives among the index files that `apt-get update --print-uris` lists.
    fn parse(printed: &str) -> Option<Self> {
        let mut archive = None;
        let mut security = None;
        for line in printed.lines() {
            let Some((base, rest)) = quoted(line).and_then(|uri| uri.split_once("/dists/")) else { continue };
            let suite = rest.split('/').next().unwrap_or_default();
            let base = base.trim_end_matches('/').to_owned();
            if SUITES.contains(&suite) {
                archive.get_or_insert(base);
            } else if suite.strip_suffix("-security").is_some_and(|main| SUITES.contains(&main)) {
                security.get_or_insert(base);
            }
        }
        Some(Self { archive: archive?, security })
    }

    /// The address of a pool path.
    pub(crate) fn uri(&self, pool_path: &str) -> String {
        let base = match &self.security {
            Some(security) if pool_path.starts_with("pool/updates/") => security,
            _ => &self.archive,
        };
        format!("{base}/{pool_path}")
    }

    /// The pool path of an address below one of the archives.
    pub(crate) fn pool_path<'uri>(&self, uri: &'uri str) -> Option<&'uri str> {
        [Some(&self.archive), self.security.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|base| uri.strip_prefix(base.as_str())?.strip_prefix('/'))
    }
}

/// The text between the single quotes that begin a line of `--print-uris`.
pub(crate) fn quoted(line: &str) -> Option<&str> {
    line.strip_prefix('\'')?.split('\'').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
'https://vendor.example/apt/dists/tools-bookworm/InRelease' vendor.example_InRelease 0
'https://vendor.example/node/dists/nodistro/InRelease' vendor.example_node_InRelease 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' x 0
'http://mirror.example/debian/dists/bookworm/InRelease' x 0
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' x 0
";

    #[test]
    fn debian_is_told_from_vendors() {
        let mirror = Mirror::parse(PRINTED).unwrap();
        assert_eq!(mirror.archive, "http://mirror.example/debian");
        assert_eq!(mirror.security.as_deref(), Some("http://mirror.example/debian-security"));
    }

    #[test]
    fn a_machine_without_debian_has_no_mirror() {
        assert_eq!(Mirror::parse("'https://vendor.example/apt/dists/nodistro/InRelease' x 0\n"), None);
    }

    #[test]
    fn a_pool_path_goes_to_its_archive_and_back() {
        let mirror = Mirror::parse(PRINTED).unwrap();
        for path in ["pool/main/a/apt/apt_1.deb", "pool/updates/main/c/curl/curl_2.deb"] {
            assert_eq!(mirror.pool_path(&mirror.uri(path)), Some(path));
        }
        assert!(mirror.uri("pool/updates/x").contains("debian-security"));
        assert_eq!(mirror.pool_path("http://mirror.example/other"), None);
    }
}
