//! The person whose state folder it is, also where root does something for them.

use api::HomeLayout;
use camino::Utf8PathBuf;
use host::account::{Account, is_root};

/// Whose state folder it is.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) account: Account,
    /// Whether root acts for them, by sudo.
    pub(crate) by_sudo: bool,
    /// Their home folder.
    pub(crate) folder: Utf8PathBuf,
    /// The state folder.
    pub(crate) home: HomeLayout,
    usual_home: HomeLayout,
}

impl Owner {
    /// The owner, and their state folder where `chosen` is the one that this process's variables choose. `None` where
    /// the system knows no account of this number.
    pub(crate) fn of(chosen: &HomeLayout) -> Option<Self> {
        let account = Account::of_the_person()?;
        let by_sudo = is_root() && account.uid != 0;
        // sudo may have changed HOME, or not: the list of accounts is right.
        let own = std::env::var("HOME").ok().filter(|home| !by_sudo && home.starts_with('/'));
        let folder = own.map_or_else(|| account.home.clone(), Utf8PathBuf::from);
        let usual_home = HomeLayout::at(folder.join(".cove"));
        let is_named = std::env::var("COVE_HOME").is_ok_and(|home| !home.is_empty());
        let home = if is_named { chosen.clone() } else { usual_home.clone() };
        Some(Self { account, by_sudo, folder, home, usual_home })
    }

    /// The state folder where it is not the usual one.
    pub(crate) fn named_folder(&self) -> Option<Utf8PathBuf> {
        (self.home != self.usual_home).then(|| self.home.root().to_owned())
    }

    /// A command line of this program for root. sudo has a search path and variables of its own, so both are spelled out.
    pub(crate) fn as_root(&self, words: &str) -> String {
        let program = std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
        let program = program.unwrap_or_else(|| "cove".into());
        match self.named_folder() {
            Some(folder) => format!("sudo env COVE_HOME='{folder}' '{program}' {words}"),
            None => format!("sudo '{program}' {words}"),
        }
    }
}
