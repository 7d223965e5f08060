//! What Homebrew reads: the cask of the app, and the formula of the programs without it.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::info::{AGENT, IDENTIFIER};
use super::{PackageError, REPOSITORY, VERSION};
use crate::image::Digest;
use crate::steps::run;

/// The digests that Homebrew holds downloads against.
pub(super) struct Digests {
    /// Of the disk image.
    pub(super) dmg: Digest,
    /// Of the source archive.
    pub(super) source: Digest,
}

/// The templates, and the files they become.
const FILES: [(&str, &str); 2] =
    [("cask.rb", "homebrew/Casks/cove.rb"), ("formula.rb", "homebrew/Formula/cove-cli.rb")];

/// Packs the sources of the commit that is checked out, for those who build themselves.
pub(super) fn source_archive(repository: &Utf8Path, out: &Utf8Path) -> Result<Utf8PathBuf, PackageError> {
    let archive = out.join(format!("cove-{VERSION}-source.tar.gz"));
    let mut git = Command::new("git");
    git.current_dir(repository).args([
        "archive",
        "--format",
        "tar.gz",
        "--prefix",
        &format!("cove-{VERSION}/"),
    ]);
    run(git.args(["--output", archive.as_str(), "HEAD"]))?;
    Ok(archive)
}

/// Writes the files of a tap.
pub(super) fn write(repository: &Utf8Path, out: &Utf8Path, digests: &Digests) -> std::io::Result<()> {
    for (template, file) in FILES {
        let file = out.join(file);
        fs_err::create_dir_all(file.parent().unwrap_or(out))?;
        fs_err::write(
            file,
            fill(&fs_err::read_to_string(repository.join("package/homebrew").join(template))?, digests),
        )?;
    }
    Ok(())
}

fn fill(template: &str, digests: &Digests) -> String {
    [
        ("{{version}}", VERSION),
        ("{{repository}}", REPOSITORY),
        ("{{identifier}}", IDENTIFIER),
        ("{{agent}}", AGENT),
        ("{{dmg_sha256}}", digests.dmg.as_str()),
        ("{{source_sha256}}", digests.source.as_str()),
    ]
    .iter()
    .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_and_ruby_reads_it() {
        let repository = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let digests = Digests { dmg: Digest::of("image"), source: Digest::of("source") };
        for (template, file) in FILES {
            let text = fs_err::read_to_string(repository.join("package/homebrew").join(template)).unwrap();
            let text = fill(&text, &digests);
            assert!(!text.contains("{{") && text.contains(VERSION), "{file}:\n{text}");
            let wanted = if template == "cask.rb" { &digests.dmg } else { &digests.source };
            assert!(text.contains(&format!("sha256 \"{}\"", wanted.as_str())), "{file}:\n{text}");
            ruby_reads(&text, file);
        }
    }

    /// Asks Ruby, where this computer has one.
    fn ruby_reads(text: &str, file: &str) {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("file.rb");
        fs_err::write(&copy, text).unwrap();
        let output = Command::new("ruby").arg("-c").arg(&copy).output();
        if output.is_err() && std::env::var_os("COVE_REQUIRE_VM").is_none() {
            eprintln!("skipped: ruby is not installed");
            return;
        }
        let output = output.expect("`make test` installs ruby");
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
