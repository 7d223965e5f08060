//! `/var/run/docker.sock`, where programs look for a Docker Engine that nobody told them of.
//!
//! It may be a link of Docker Desktop's or another's, or the socket of an engine itself. Nothing of others is lost: what
//! is there is exchanged for our link in one step, kept beside it, and put back when the link is taken away. The folder
//! is emptied at each start of the computer, so a file tells the system to make the link again then, where nothing is.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
use plist::{Dictionary, Value};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::whole_file;

/// The name of the file for launchd, without `.plist`.
const LABEL: &str = "dev.cove.docker-socket";

/// What is at the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nobody,
    /// A link, perhaps to something that is not there.
    Link(Utf8PathBuf),
    /// A socket, or anything else that is no link.
    Itself,
}

/// How the place stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is there.
    pub occupant: Occupant,
    /// Whether the link is made again at each start of the computer.
    pub is_remembered: bool,
}

/// Why the place was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another has it.
    #[error("`{place}` {}", match to { Some(to) => format!("leads to `{to}`"), None => "is an engine's own socket".to_owned() })]
    Taken {
        /// The place.
        place: Utf8PathBuf,
        /// Where the other's link leads.
        to: Option<Utf8PathBuf>,
    },
    /// What was put aside before would be lost.
    #[error("`{aside}` still keeps what was replaced before")]
    AsideTaken {
        /// Where it is.
        aside: Utf8PathBuf,
    },
    /// A file.
    #[error("could not {doing} `{path}`")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What became of the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// All was so already.
    Nothing,
    /// The link is there, or gone again, and nobody else's was touched.
    Done,
    /// Another's was put aside for the link.
    Replaced(Occupant),
    /// Another's is there again.
    Restored(Occupant),
}

/// The place on this computer.
#[derive(Debug, Clone)]
pub struct SystemSocket {
    place: Utf8PathBuf,
    aside: Utf8PathBuf,
    at_start: Utf8PathBuf,
}

impl SystemSocket {
    /// That of this computer.
    pub fn of_this_computer() -> Self {
        Self::at("/var/run/docker.sock".into(), system::AT_START.into())
    }

    fn at(place: Utf8PathBuf, at_start: Utf8PathBuf) -> Self {
        let aside = Utf8PathBuf::from(format!("{place}.before-cove"));
        Self { place, aside, at_start }
    }

    /// The place itself.
    pub fn place(&self) -> &Utf8Path {
        &self.place
    }

    /// How it stands for a socket of ours.
    ///
    /// # Errors
    /// The place cannot be looked at.
    pub fn standing(&self, socket: &Utf8Path) -> Result<Standing, SocketError> {
        let text = whole_file::read(&self.at_start).map_err(about("read", &self.at_start))?;
        let is_remembered = text == Some(self.text(socket));
        Ok(Standing { occupant: occupant(&self.place)?, is_remembered })
    }

    /// Makes the place a link to a socket of ours, now and after each start of the computer. Needs root.
    ///
    /// # Errors
    /// [`SocketError::Taken`] where another has it, unless it is to be replaced.
    pub fn point_at(&self, socket: &Utf8Path, replace: bool) -> Result<Change, SocketError> {
        let ours = Occupant::Link(socket.to_owned());
        let mut change = match occupant(&self.place)? {
            found if found == ours => Change::Nothing,
            Occupant::Nobody => {
                symlink(socket, &self.place).map_err(about("make", &self.place))?;
                Change::Done
            }
            other if replace => {
                self.clear_aside(&ours)?;
                symlink(socket, &self.aside).map_err(about("make", &self.aside))?;
                self.exchange()?;
                Change::Replaced(other)
            }
            Occupant::Link(to) => return Err(SocketError::Taken { place: self.place.clone(), to: Some(to) }),
            Occupant::Itself => return Err(SocketError::Taken { place: self.place.clone(), to: None }),
        };
        if !self.standing(socket)?.is_remembered {
            whole_file::write(&self.at_start, &self.text(socket)).map_err(about("write", &self.at_start))?;
            if change == Change::Nothing {
                change = Change::Done;
            }
        }
        Ok(change)
    }

    /// Takes the link away, and puts back what it replaced. What is another's stays. Needs root.
    ///
    /// # Errors
    /// A file cannot be changed.
    pub fn release(&self, socket: &Utf8Path) -> Result<Change, SocketError> {
        let ours = Occupant::Link(socket.to_owned());
        let (found, aside) = (occupant(&self.place)?, occupant(&self.aside)?);
        let mut change = if found == ours && (aside == Occupant::Nobody || aside == ours) {
            whole_file::remove(&self.place).map_err(about("remove", &self.place))?;
            whole_file::remove(&self.aside).map_err(about("remove", &self.aside))?;
            Change::Done
        } else if found == ours {
            self.exchange()?;
            whole_file::remove(&self.aside).map_err(about("remove", &self.aside))?;
            Change::Restored(aside)
        } else if found == Occupant::Nobody && aside != Occupant::Nobody {
            fs_err::rename(&self.aside, &self.place).map_err(about("restore", &self.place))?;
            Change::Restored(aside)
        } else {
            Change::Nothing
        };
        if self.standing(socket)?.is_remembered {
            whole_file::remove(&self.at_start).map_err(about("remove", &self.at_start))?;
            if change == Change::Nothing {
                change = Change::Done;
            }
        }
        Ok(change)
    }

    /// Makes room for what is to be put aside. A link that was put aside earlier has been made anew by its owner since.
    fn clear_aside(&self, ours: &Occupant) -> Result<(), SocketError> {
        match occupant(&self.aside)? {
            Occupant::Itself => Err(SocketError::AsideTaken { aside: self.aside.clone() }),
            found => {
                if found != *ours {
                    tracing::info!(?found, "a link that was put aside before is dropped");
                }
                whole_file::remove(&self.aside).map_err(about("remove", &self.aside))
            }
        }
    }

    /// Each has the other's name, at no instant none.
    fn exchange(&self) -> Result<(), SocketError> {
        let (place, aside) = (self.place.as_std_path(), self.aside.as_std_path());
        renameat_with(CWD, place, CWD, aside, RenameFlags::EXCHANGE)
            .map_err(|errno| about("replace", &self.place)(errno.into()))
    }

    fn text(&self, socket: &Utf8Path) -> Vec<u8> {
        system::text(socket, &self.place)
    }
}

/// The file that makes launchd link the place at each start of the computer. `ln` leaves alone what is there.
#[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "launchd is macOS's"))]
fn launchd_text(socket: &Utf8Path, place: &Utf8Path) -> Vec<u8> {
    let words = ["/bin/ln", "-s", socket.as_str(), place.as_str()];
    let mut root = Dictionary::new();
    root.insert("Label".to_owned(), LABEL.into());
    root.insert("ProgramArguments".to_owned(), Value::Array(words.map(Value::from).to_vec()));
    root.insert("AssociatedBundleIdentifiers".to_owned(), crate::service::APP_IDENTIFIER.into());
    root.insert("RunAtLoad".to_owned(), true.into());
    let mut text = Vec::new();
    Value::Dictionary(root).to_writer_xml(&mut text).expect("writing to memory cannot fail");
    text.push(b'\n');
    text
}

/// The file that makes systemd do so.
#[cfg_attr(all(target_os = "macos", not(test)), expect(dead_code, reason = "systemd is Linux's"))]
fn tmpfiles_text(socket: &Utf8Path, place: &Utf8Path) -> Vec<u8> {
    let place = place.as_str().strip_prefix("/var").unwrap_or(place.as_str());
    let socket = socket.as_str().replace('%', "%%");
    format!("# Written by `cove docker socket`.\nL {place} - - - - {socket}\n").into_bytes()
}

fn occupant(path: &Utf8Path) -> Result<Occupant, SocketError> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            let to = fs_err::read_link(path).map_err(about("read", path))?;
            Ok(Occupant::Link(Utf8PathBuf::from(to.to_string_lossy().into_owned())))
        }
        Ok(_) => Ok(Occupant::Itself),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Occupant::Nobody),
        Err(error) => Err(about("look at", path)(error)),
    }
}

fn about<'a>(doing: &'static str, path: &'a Utf8Path) -> impl FnOnce(io::Error) -> SocketError + 'a {
    move |source| SocketError::File { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    const OURS: &str = "/home/mia/.cove/run/docker.sock";

    fn fixture() -> (tempfile::TempDir, SystemSocket) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let socket = SystemSocket::at(folder.join("docker.sock"), folder.join("etc/at-start"));
        (temp, socket)
    }

    fn occupant_of(socket: &SystemSocket) -> Occupant {
        socket.standing(OURS.into()).unwrap().occupant
    }

    fn link(to: &str) -> Occupant {
        Occupant::Link(to.into())
    }

    #[test]
    fn an_empty_place_is_taken_and_given_back_empty() {
        let (_temp, socket) = fixture();
        let nobody = Standing { occupant: Occupant::Nobody, is_remembered: false };
        assert_eq!(socket.standing(OURS.into()).unwrap(), nobody);
        assert_eq!(socket.point_at(OURS.into(), false).unwrap(), Change::Done);
        assert_eq!(socket.point_at(OURS.into(), false).unwrap(), Change::Nothing);
        let ours = Standing { occupant: link(OURS), is_remembered: true };
        assert_eq!(socket.standing(OURS.into()).unwrap(), ours);
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Done);
        assert_eq!(socket.standing(OURS.into()).unwrap(), nobody);
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Nothing);
    }

    #[test]
    fn anothers_link_is_left_alone_or_kept_aside() {
        let (_temp, socket) = fixture();
        let theirs = "/Users/mia/.docker/run/docker.sock";
        symlink(theirs, &socket.place).unwrap();
        let error = socket.point_at(OURS.into(), false).unwrap_err().to_string();
        assert_eq!(error, format!("`{}` leads to `{theirs}`", socket.place));
        assert!(!socket.at_start.exists());
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Nothing);
        assert_eq!(socket.point_at(OURS.into(), true).unwrap(), Change::Replaced(link(theirs)));
        assert_eq!(occupant_of(&socket), link(OURS));
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Restored(link(theirs)));
        assert_eq!(
            (occupant_of(&socket), occupant(&socket.aside).unwrap()),
            (link(theirs), Occupant::Nobody)
        );
    }

    #[test]
    fn an_engine_whose_socket_was_put_aside_is_reached_again() {
        let (_temp, socket) = fixture();
        let engine = UnixListener::bind(&socket.place).unwrap();
        assert!(matches!(socket.point_at(OURS.into(), false), Err(SocketError::Taken { to: None, .. })));
        assert_eq!(socket.point_at(OURS.into(), true).unwrap(), Change::Replaced(Occupant::Itself));
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Restored(Occupant::Itself));
        let mut client = UnixStream::connect(&socket.place).unwrap();
        drop(engine.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_place_that_its_owner_took_back_is_taken_again_and_returned_once() {
        let (_temp, socket) = fixture();
        symlink("/old", &socket.place).unwrap();
        socket.point_at(OURS.into(), true).unwrap();
        fs_err::remove_file(&socket.place).unwrap();
        symlink("/new", &socket.place).unwrap();
        assert_eq!(socket.point_at(OURS.into(), true).unwrap(), Change::Replaced(link("/new")));
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Restored(link("/new")));
    }

    #[test]
    fn a_socket_that_is_kept_aside_is_not_lost_to_another() {
        let (_temp, socket) = fixture();
        let _engine = UnixListener::bind(&socket.aside).unwrap();
        symlink("/other", &socket.place).unwrap();
        assert!(matches!(socket.point_at(OURS.into(), true), Err(SocketError::AsideTaken { .. })));
        assert_eq!(occupant_of(&socket), link("/other"));
    }

    /// Whoever is killed between the two steps has done nothing yet; whose link was removed gets its own back.
    #[test]
    fn what_was_cut_off_is_put_right() {
        let (_temp, socket) = fixture();
        symlink("/theirs", &socket.place).unwrap();
        symlink(OURS, &socket.aside).unwrap();
        assert_eq!(socket.point_at(OURS.into(), true).unwrap(), Change::Replaced(link("/theirs")));
        fs_err::remove_file(&socket.place).unwrap();
        assert_eq!(socket.release(OURS.into()).unwrap(), Change::Restored(link("/theirs")));
    }

    #[test]
    fn the_files_for_the_start_are_these() {
        let text = |text: Vec<u8>| String::from_utf8(text).unwrap();
        let place = Utf8Path::new("/var/run/docker.sock");
        assert_eq!(
            text(tmpfiles_text("/home/a %b/docker.sock".into(), place)),
            "# Written by `cove docker socket`.\nL /run/docker.sock - - - - /home/a %%b/docker.sock\n"
        );
        insta::assert_snapshot!(text(launchd_text("/Users/mia/.cove/run/docker.sock".into(), place)));
    }

    /// systemd's own program does what the file says, and leaves alone what is there.
    #[cfg(target_os = "linux")]
    #[test]
    fn systemd_makes_the_link_at_the_start() {
        let (temp, socket) = fixture();
        let ours = Utf8Path::from_path(temp.path()).unwrap().join("a %b/docker.sock");
        let file = temp.path().join("cove.conf");
        fs_err::write(&file, tmpfiles_text(&ours, &socket.place)).unwrap();
        let start = || {
            let mut command = std::process::Command::new("systemd-tmpfiles");
            let output = command.arg("--create").arg(&file).output();
            output.expect("systemd-tmpfiles comes with systemd, which Linux hosts have")
        };
        let said = start();
        assert_eq!(occupant_of(&socket), Occupant::Link(ours), "{}", String::from_utf8_lossy(&said.stderr));
        fs_err::remove_file(&socket.place).unwrap();
        symlink("/theirs", &socket.place).unwrap();
        start();
        assert_eq!(occupant_of(&socket), link("/theirs"));
    }
}
