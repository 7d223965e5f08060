//! Debian's signed package indexes, read with apt in a folder of its own.
//!
//! The machine's apt settings (proxy, certificates) apply; its sources, lists, pins and installed packages do not.
//! apt checks every index against Debian's archive keys and refuses one that is not signed.

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::digest::Digest;
use super::host_tools::{APT_CACHE, APT_GET, Tool, ToolError, run};
use super::lock::Pin;
use super::mirror::{Mirror, quoted};
use crate::output::say;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The indexes of one Debian suite with its updates, for both processors.
pub(crate) struct Indexes<'mirror> {
    folder: Utf8PathBuf,
    mirror: &'mirror Mirror,
}

/// The indexes could not be had, or do not answer a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// Debian's keys are not on this machine.
    #[error("{KEYRING} is missing; install the Debian package `debian-archive-keyring`")]
    NoKeyring,
    /// Fetching or checking an index failed.
    #[error("could not bring Debian's package indexes up to date")]
    Update(#[source] ToolError),
    /// apt knows no such package or version.
    #[error("could not look packages up in Debian's indexes")]
    Ask(#[from] ToolError),
    /// apt printed what this program does not understand.
    #[error("apt answered with a line that is not a package file: `{line}`")]
    Answer { line: String },
    /// The kernel's metapackage depends on no kernel.
    #[error("`{metapackage}` names no kernel package")]
    NoKernel { metapackage: String },
    /// The folder could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl<'mirror> Indexes<'mirror> {
    /// Fetches the indexes of `suite` into `folder`, or as little of them as changed.
    pub(crate) fn update(
        folder: &Utf8Path,
        mirror: &'mirror Mirror,
        suite: &str,
    ) -> Result<Self, IndexError> {
        if !Utf8Path::new(KEYRING).exists() {
            return Err(IndexError::NoKeyring);
        }
        for part in ["lists/partial", "cache/archives/partial"] {
            fs_err::create_dir_all(folder.join(part))?;
        }
        fs_err::write(folder.join("status"), "")?;
        fs_err::write(folder.join("sources.list"), sources(mirror, suite))?;
        let indexes = Self { folder: folder.to_owned(), mirror };
        say("reading Debian's signed package indexes");
        let mut update = indexes.apt(APT_GET, Arch::host())?;
        // Both processors at once: the lists are shared.
        update.args(["-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"]);
        update.args(["-o", "APT::Update::Error-Mode=any"]);
        run(update.arg("update")).map_err(IndexError::Update)?;
        Ok(indexes)
    }

    /// The package files that answer `requests` (`name` or `name=version*`), without what they depend on.
    pub(crate) fn files(&self, arch: Arch, requests: &[String]) -> Result<Vec<Pin>, IndexError> {
        let printed = run(self.apt(APT_GET, arch)?.args(["download", "--print-uris"]).args(requests))?;
        let text = String::from_utf8_lossy(&printed);
        text.lines()
            .filter(|line| line.starts_with('\''))
            .map(|line| file(line, self.mirror).ok_or_else(|| IndexError::Answer { line: line.to_owned() }))
            .collect()
    }

    /// The package files of a whole system: `requests` with everything they depend on, starting from nothing.
    pub(crate) fn closure(&self, arch: Arch, requests: &[String]) -> Result<Vec<Pin>, IndexError> {
        let mut install = self.apt(APT_GET, arch)?;
        install.args(["install", "--print-uris", "--yes", "--no-install-recommends"]).args(requests);
        let printed = run(&mut install)?;
        let text = String::from_utf8_lossy(&printed);
        // This form of the answer has no strong digests; the names and versions are asked for again.
        let exact: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with('\''))
            .map(|line| {
                let (name, version) =
                    named(line).ok_or_else(|| IndexError::Answer { line: line.to_owned() })?;
                Ok(format!("{name}={version}"))
            })
            .collect::<Result<_, IndexError>>()?;
        self.files(arch, &exact)
    }

    /// The package that a metapackage such as `linux-image-cloud-amd64` stands for today, and the packages with the
    /// headers of that very kernel.
    pub(crate) fn kernel(&self, arch: Arch, metapackage: &str) -> Result<Vec<String>, IndexError> {
        let printed = run(self.apt(APT_CACHE, arch)?.args(["depends", metapackage]))?;
        kernel_of(&String::from_utf8_lossy(&printed))
            .and_then(|image| Some([headers_of(&image)?, vec![image]].concat()))
            .ok_or_else(|| IndexError::NoKernel { metapackage: metapackage.to_owned() })
    }

    /// The source package that each of the binary packages is built from.
    pub(crate) fn source_names(
        &self,
        arch: Arch,
        names: &[&str],
    ) -> Result<BTreeMap<String, String>, IndexError> {
        let printed = run(self.apt(APT_CACHE, arch)?.args(["show", "--no-all-versions"]).args(names))?;
        Ok(sources_of(&String::from_utf8_lossy(&printed)))
    }

    fn apt(&self, tool: Tool, arch: Arch) -> Result<Command, ToolError> {
        let folder = &self.folder;
        let mut command = tool.command()?;
        for setting in [
            format!("Dir::State={folder}"),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            // apt's own caches of the lists would be one more thing that can be stale.
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            "Debug::NoLocking=1".to_owned(),
            // The folder is the person's own; apt's unprivileged user could not write there.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "APT::Get::AllowUnauthenticated=false".to_owned(),
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures::={arch}"),
        ] {
            command.args(["-o", &setting]);
        }
        Ok(command)
    }
}

/// The sources of a suite: itself, its updates, its backports (for the library source of the pinned compiler; apt
/// takes nothing from there unless a version is asked for), and its security updates.
fn sources(mirror: &Mirror, suite: &str) -> String {
    let options = format!("[arch=amd64,arm64 signed-by={KEYRING}]");
    let line = |base: &str, suite: &str| format!("deb {options} {base} {suite} main\n");
    let mut text = line(&mirror.archive, suite);
    text += &line(&mirror.archive, &format!("{suite}-updates"));
    text += &line(&mirror.archive, &format!("{suite}-backports"));
    if let Some(security) = &mirror.security {
        text += &line(security, &format!("{suite}-security"));
    }
    text
}

/// Reads `'URI' name_version_arch.deb size SHA256:digest`.
fn file(line: &str, mirror: &Mirror) -> Option<Pin> {
    let (name, version) = named(line)?;
    let path = percent_decoded(mirror.pool_path(quoted(line)?)?)?;
    let mut fields = line.rsplit(' ');
    let sha256 = Digest::parse(fields.next()?.strip_prefix("SHA256:")?)?;
    let size = fields.next()?.parse().ok()?;
    Some(Pin { name, version, sha256, size, path })
}

/// Package name and version out of the file name that apt would give the download.
fn named(line: &str) -> Option<(String, String)> {
    let file = percent_decoded(line.split(' ').nth(1)?)?;
    let mut parts = file.split('_');
    let named = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next()?.strip_suffix(".deb").map(|_| named)
}

/// The first kernel among the lines of `apt-cache depends`.
fn kernel_of(printed: &str) -> Option<String> {
    printed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(ToOwned::to_owned)
}

/// The packages with a kernel's headers: its own, and those it shares with the other flavours of its version.
fn headers_of(image: &str) -> Option<Vec<String>> {
    let release = image.strip_prefix("linux-image-")?;
    // The version of Debian's kernels ends in `+deb13`, before the flavour.
    let (upstream, rest) = release.split_once('+')?;
    let debian = rest.split('-').next()?;
    Some(vec![format!("linux-headers-{release}"), format!("linux-headers-{upstream}+{debian}-common")])
}

/// Binary package to source package, from index paragraphs. Without a `Source` field the two are the same.
fn sources_of(paragraphs: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for paragraph in paragraphs.split("\n\n") {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
        };
        if let Some(package) = field("Package") {
            // `Source: glibc (2.41-1)` when the versions differ.
            let source = field("Source").and_then(|text| text.split(' ').next()).unwrap_or(package);
            found.insert(package.to_owned(), source.to_owned());
        }
    }
    found
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_file_becomes_a_pin() {
        let mirror = Mirror { archive: "http://m.example/debian".into(), security: None };
        let sha256 = "863aa5b9cdf6f80010b48982d4639126b09a89eeef2c0c5c7be226297c811581";
        let line = format!(
            "'http://m.example/debian/pool/main/libc/libcap2/libcap2_2.75-10%2bb3_arm64.deb' \
             libcap2_1%3a2.75-10+b3_arm64.deb 28568 SHA256:{sha256}"
        );
        let pin = file(&line, &mirror).unwrap();
        assert_eq!((pin.name.as_str(), pin.version.as_str(), pin.size), ("libcap2", "1:2.75-10+b3", 28568));
        assert_eq!(pin.path, "pool/main/libc/libcap2/libcap2_2.75-10+b3_arm64.deb");
        assert_eq!(pin.sha256.as_str(), sha256);
        assert_eq!(file(&line.replace("SHA256:", "MD5Sum:"), &mirror), None);
    }

    #[test]
    fn the_kernel_is_what_the_metapackage_depends_on() {
        let printed =
            "linux-image-cloud-arm64\n  Depends: linux-base\n  Depends: linux-image-6.12.1+x-cloud-arm64\n";
        assert_eq!(kernel_of(printed).unwrap(), "linux-image-6.12.1+x-cloud-arm64");
        assert_eq!(kernel_of("linux-image-cloud-arm64\n"), None);
    }

    #[test]
    fn sources_are_read_from_paragraphs() {
        let sources = sources_of(
            "Package: libc6\nSource: glibc (2.41-12)\nVersion: 1\n\nPackage: crun\nVersion: 2\nDescription: x\n",
        );
        assert_eq!(sources["libc6"], "glibc");
        assert_eq!(sources["crun"], "crun");
    }

    #[test]
    fn every_index_must_be_signed() {
        let mirror = Mirror { archive: "http://a".into(), security: Some("http://s".into()) };
        let text = sources(&mirror, "trixie");
        assert_eq!(text.lines().count(), 4);
        assert!(text.lines().all(|line| line.contains("signed-by=/")), "{text}");
        assert!(text.contains(" http://s trixie-security main"), "{text}");
    }
}
