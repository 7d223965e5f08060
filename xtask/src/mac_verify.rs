//! `cargo xtask mac-verify`: what only a Mac can prove, run once by someone who has one, who pastes what it prints.
//!
//! It has never run: nobody who wrote it had a Mac. The checks are those of `docs/mac-verification.md`, in its order.
//!
//! Machines may be made only by a program that is signed with an entitlement, so this one copies and signs itself and
//! lets the copy do the work.

mod checks;
mod guest;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::output::say;

/// What a program needs to make machines.
const ENTITLEMENTS: &str = include_str!("../../package/cove-shim.entitlements");

/// What `cargo xtask mac-verify` can be told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Folder of the arm64 guest image; the one in the cache folder when not given
    #[arg(long, value_name = "DIR")]
    image: Option<Utf8PathBuf>,
    /// Only the checks with these numbers
    #[arg(long, value_delimiter = ',', value_name = "NUMBER,…")]
    only: Vec<u32>,
    /// Leave out the checks that ask a person to do something
    #[arg(long)]
    unattended: bool,
    /// List the checks and run none
    #[arg(long)]
    list: bool,
    /// This is the signed copy
    #[arg(long, hide = true)]
    signed: bool,
}

/// The checks could not be run, or some failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MacVerifyError {
    #[error("mac-verify runs on a Mac with Apple Silicon; this is {os} on {arch}. `--list` shows its checks")]
    NotAMac { os: &'static str, arch: &'static str },
    #[error(
        "there is no arm64 guest image in `{0}`; build it with `cargo xtask image --arch arm64` and copy it here"
    )]
    NoImage(Utf8PathBuf),
    #[error("could not prepare the checks")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Cache(#[from] crate::image::NoCache),
    #[error("`codesign` did not sign the copy: {0}")]
    Signing(String),
    #[error("{0} checks failed; please paste everything above into an issue")]
    Failed(usize),
}

/// How a check went.
#[derive(Debug)]
enum Outcome {
    /// As it should, and what was measured.
    Pass(String),
    /// Not as it should.
    Fail(String),
    /// It could not be tried, and why.
    Skip(String),
}

/// Runs the checks.
pub(crate) fn verify(options: &Options) -> Result<(), MacVerifyError> {
    if options.list {
        for check in checks::ALL {
            say(format!("{:>2}. {}", check.number, check.title));
        }
        return Ok(());
    }
    if !cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        return Err(MacVerifyError::NotAMac { os: std::env::consts::OS, arch: std::env::consts::ARCH });
    }
    let cache = crate::image::cache_folder()?;
    let image = options.image.clone().unwrap_or_else(|| cache.join("images/arm64"));
    if !image.join(vmm::image::MANIFEST).is_file() {
        return Err(MacVerifyError::NoImage(image));
    }
    if options.signed {
        return run(options, &image);
    }
    let folder = cache.join("mac-verify");
    fs_err::create_dir_all(&folder)?;
    let copy = sign_copy(&folder)?;
    let status = Command::new(copy).args(std::env::args_os().skip(1)).arg("--signed").status()?;
    if status.success() { Ok(()) } else { Err(MacVerifyError::Failed(1)) }
}

/// Copies this program and signs the copy, as nobody in particular, with the entitlement.
fn sign_copy(folder: &Utf8Path) -> Result<Utf8PathBuf, MacVerifyError> {
    let (copy, entitlements) = (folder.join("xtask-signed"), folder.join("entitlements.plist"));
    // A signature belongs to the file as macOS saw it first: never sign over one that has run.
    let _ = fs_err::remove_file(&copy);
    fs_err::copy(std::env::current_exe()?, &copy)?;
    fs_err::write(&entitlements, ENTITLEMENTS)?;
    let mut codesign = Command::new("codesign");
    codesign.args(["--force", "--sign", "-", "--options", "runtime", "--entitlements"]);
    let output = codesign.arg(&entitlements).arg(&copy).output()?;
    if output.status.success() {
        Ok(copy)
    } else {
        Err(MacVerifyError::Signing(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

fn run(options: &Options, image: &Utf8Path) -> Result<(), MacVerifyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let chosen = checks::ALL
        .iter()
        .filter(|check| check.always || options.only.is_empty() || options.only.contains(&check.number));
    let asks = !options.unattended && io::stdin().is_terminal();
    runtime.block_on(async {
        let mut stage = guest::Stage::new(image, asks)?;
        let (mut failed, mut counts) = (0, [0; 3]);
        for check in chosen {
            let begun = std::time::Instant::now();
            let outcome = (check.run)(&mut stage).await.unwrap_or_else(|error| Outcome::Fail(chain(&*error)));
            let (word, place, detail) = match outcome {
                Outcome::Pass(detail) => ("pass", 0, detail),
                Outcome::Fail(detail) => ("FAIL", 1, detail),
                Outcome::Skip(why) => ("skip", 2, why),
            };
            failed += usize::from(place == 1);
            counts[place] += 1;
            let seconds = begun.elapsed().as_secs_f64();
            say(format!("{word} {:>2}. {} ({seconds:.1} s): {detail}", check.number, check.title));
        }
        stage.end().await;
        say(format!("{} passed, {} failed, {} skipped", counts[0], counts[1], counts[2]));
        if failed == 0 { Ok(()) } else { Err(MacVerifyError::Failed(failed)) }
    })
}

/// Asks a person to do something and to press return.
fn ask(what: &str) -> io::Result<()> {
    say(format!("     {what}, then press return"));
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new()).map(drop)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_same_checks() {
        let page =
            Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/mac-verification.md");
        let text = fs_err::read_to_string(page).unwrap();
        let listed: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(". **"))
            .filter_map(|(number, rest)| Some((number.parse::<u32>().ok()?, rest.split_once("**")?.0)))
            .collect();
        let known: Vec<_> = checks::ALL.iter().map(|check| (check.number, check.title)).collect();
        assert_eq!(listed, known);
        assert!(known.iter().map(|(number, _)| *number).eq(1..=known.len() as u32), "numbered in order");
    }

    #[test]
    fn elsewhere_it_says_that_it_needs_a_mac() {
        let options = Options { image: None, only: Vec::new(), unattended: true, list: false, signed: false };
        if !cfg!(target_os = "macos") {
            assert!(matches!(verify(&options), Err(MacVerifyError::NotAMac { .. })));
        }
    }
}
