//! One virtiofsd a share.
//!
//! Whatever a guest process writes lands on the host as the user who runs this; that user's files look like
//! 1000:1000 in the guest, the user of most development images. Everyone else's keep their numbers.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::argv;
use crate::process::{self, Launch, Running};
use crate::short_path::ShortPath;
use crate::{Error, Share};

/// User and group that the caller's files have in the guest.
const GUEST_ID: u32 = 1000;

/// Every id but the last, which means "none" to the kernel.
const ALL_IDS: u32 = u32::MAX;

/// More open files than this are of no use to a share.
const MOST_OPEN_FILES: u64 = 1_000_000;

/// Names a virtiofsd to use before all others.
const OVERRIDE: &str = "COVE_VIRTIOFSD";

/// Where distributions put it, outside of `PATH`.
const HIDDEN: [&str; 3] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd"];

/// Finds the program.
pub(crate) fn find() -> Result<Utf8PathBuf, Error> {
    let searched = candidates(|name| std::env::var_os(name));
    match searched.iter().find(|file| process::is_executable(file)) {
        Some(found) => Ok(found.clone()),
        None => Err(Error::VirtiofsdMissing { searched }),
    }
}

/// Every place to look at, in order. A program named on purpose is the only one.
fn candidates(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Utf8PathBuf> {
    let path = |name| variable(name).and_then(|value| value.into_string().ok()).map(Utf8PathBuf::from);
    if let Some(named) = path(OVERRIDE) {
        return vec![named];
    }
    let on_path = variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .map(|folder| folder.join("virtiofsd"));
    let cache = path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
    let own = cache.map(|cache| cache.join("cove/tools/bin/virtiofsd"));
    on_path.chain(HIDDEN.into_iter().map(Utf8PathBuf::from)).chain(own).collect()
}

/// Starts it for a share, listening already: QEMU may connect at once.
pub(crate) fn start(
    launcher: &[OsString],
    program: &Utf8Path,
    run_dir: &Utf8Path,
    share: &Share,
) -> Result<Running, Error> {
    if !share.host_path.is_dir() {
        let problem = format!("`{}` is not a folder", share.host_path);
        return Err(Error::InvalidConfig { field: "shares", problem });
    }
    let listener = listen(&run_dir.join(argv::share_socket(share)))?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Launch {
        launcher,
        program,
        arguments: arguments(share, uid, gid),
        folder: run_dir,
        input: Some(listener),
        output: None,
    }
    .start()
}

fn listen(socket: &Utf8Path) -> Result<OwnedFd, Error> {
    let file_error = |source| Error::File { doing: "listen on", path: socket.to_owned(), source };
    match fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file_error(error)),
        _ => {}
    }
    let short = ShortPath::new(socket).map_err(file_error)?;
    let listener = UnixListener::bind(short.as_path()).map_err(file_error)?;
    Ok(listener.into())
}

fn arguments(share: &Share, uid: u32, gid: u32) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--fd=0".into(),
        format!("--shared-dir={}", share.host_path).into(),
        "--sandbox=none".into(),
        "--cache=auto".into(),
        "--announce-submounts".into(),
        "--log-level=warn".into(),
        format!("--rlimit-nofile={}", open_files()).into(),
    ];
    if uid != 0 {
        // Opening by handle is root's privilege; it would be tried and complained about at each start.
        arguments.push("--inode-file-handles=never".into());
    }
    for (option, id) in [("--translate-uid", uid), ("--translate-gid", gid)] {
        arguments.push(format!("{option}=squash-guest:0:{id}:{ALL_IDS}").into());
        arguments.push(format!("{option}=squash-host:{id}:{GUEST_ID}:1").into());
    }
    if share.read_only {
        arguments.push("--readonly".into());
    }
    arguments
}

/// Files it may hold open: what it asks for by itself, or what the host allows if that is less.
fn open_files() -> u64 {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    allowed.unwrap_or(MOST_OPEN_FILES).min(MOST_OPEN_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_looked_for_everywhere_in_order() {
        let variables = |name: &str| match name {
            "PATH" => Some("/usr/bin:/opt/bin".into()),
            "HOME" => Some("/home/ada".into()),
            _ => None,
        };
        let expected = [
            "/usr/bin/virtiofsd",
            "/opt/bin/virtiofsd",
            "/usr/libexec/virtiofsd",
            "/usr/lib/qemu/virtiofsd",
            "/usr/lib/virtiofsd",
            "/home/ada/.cache/cove/tools/bin/virtiofsd",
        ];
        assert_eq!(candidates(variables), expected.map(Utf8PathBuf::from));
        let message = Error::VirtiofsdMissing { searched: candidates(variables) }.to_string();
        assert!(message.contains("`/opt/bin/virtiofsd`, `/usr/libexec/virtiofsd`"), "{message}");
    }

    #[test]
    fn a_program_named_on_purpose_is_the_only_one() {
        let variables = |name: &str| (name == OVERRIDE).then(|| "/nowhere/v".into());
        assert_eq!(candidates(variables), ["/nowhere/v"]);
    }

    #[test]
    fn ids_are_translated_both_ways_and_a_read_only_share_is_read_only() {
        let share = Share { tag: "share0".into(), host_path: "/home/ada".into(), read_only: true };
        let words: Vec<_> =
            arguments(&share, 501, 20).into_iter().map(|word| word.into_string().unwrap()).collect();
        for expected in [
            "--translate-uid=squash-guest:0:501:4294967295",
            "--translate-uid=squash-host:501:1000:1",
            "--translate-gid=squash-guest:0:20:4294967295",
            "--translate-gid=squash-host:20:1000:1",
            "--readonly",
        ] {
            assert!(words.iter().any(|word| word == expected), "{expected} is not in {words:?}");
        }
    }

    #[test]
    fn a_share_that_is_no_folder_is_refused_before_anything_starts() {
        let share = Share { tag: "share0".into(), host_path: "/etc/passwd".into(), read_only: false };
        let error = start(&[], Utf8Path::new("/bin/true"), Utf8Path::new("/tmp"), &share).unwrap_err();
        assert!(error.to_string().contains("`/etc/passwd` is not a folder"), "{error}");
    }
}
