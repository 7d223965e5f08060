//! The person whose files these are.

use camino::Utf8PathBuf;
use nix::unistd::{Uid, User};

/// An account of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its home folder, as the system's list of accounts has it.
    pub home: Utf8PathBuf,
}

impl Account {
    /// The account that this process works for: its own, or, where it is root by sudo, that of who called sudo.
    /// `None` where the system does not know it.
    pub fn of_the_person() -> Option<Self> {
        Self::with_number(number_of_the_person(is_root(), std::env::var("SUDO_UID").ok().as_deref()))
    }

    fn with_number(uid: u32) -> Option<Self> {
        let user = User::from_uid(Uid::from_raw(uid)).ok()??;
        Some(Self { name: user.name, uid, home: Utf8PathBuf::from_path_buf(user.dir).ok()? })
    }
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn number_of_the_person(is_root: bool, sudo_uid: Option<&str>) -> u32 {
    let by_sudo = sudo_uid.filter(|_| is_root).and_then(|text| text.parse().ok());
    by_sudo.unwrap_or_else(|| rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_this_process_is_known_with_its_home() {
        let account = Account::with_number(rustix::process::getuid().as_raw()).unwrap();
        assert!(account.home.is_absolute() && !account.name.is_empty(), "{account:?}");
        assert_eq!(Account::with_number(u32::MAX - 7), None);
    }

    #[test]
    fn sudo_is_believed_by_root_alone() {
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(number_of_the_person(true, Some("1234")), 1234);
        assert_eq!(number_of_the_person(true, Some("me")), own);
        assert_eq!(number_of_the_person(true, None), own);
        assert_eq!(number_of_the_person(false, Some("0")), own);
    }
}
