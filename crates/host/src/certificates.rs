//! Certificates that people or administrators made this computer trust, where the system keeps them itself.
//!
//! On macOS that is the Keychain: its settings of trust, of the person and of the computer. Apple's own roots are not
//! among them. On Linux the distributions' tools keep such certificates in folders, which are read as files elsewhere.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::collections::BTreeMap;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

/// What the system keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// The trusted certificates, each once.
    pub certificates: Vec<AddedCertificate>,
    /// What could not be asked, and why.
    pub unreadable: Vec<(Settings, String)>,
}

/// A trusted certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedCertificate {
    /// Its bytes, in DER.
    pub der: Vec<u8>,
    /// Who trusts it.
    pub settings: Settings,
}

/// Whose settings of trust; the earlier one decides where both have a word on a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Settings {
    /// The person's.
    Person,
    /// The computer's, which its administrators change, also from afar.
    Administrator,
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Person => "Keychain (login)",
            Self::Administrator => "Keychain (System)",
        })
    }
}

/// Reads them anew. What cannot be asked stops nothing.
pub fn added() -> Added {
    system::added()
}

/// One word of the settings on a certificate.
struct Word {
    settings: Settings,
    der: Vec<u8>,
    is_trusted: bool,
}

/// What holds when all have had their word: the person's goes before the administrators', and a certificate that is
/// there to be refused is not trusted.
#[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "only macOS has such settings"))]
fn decide(mut words: Vec<Word>) -> Vec<AddedCertificate> {
    words.sort_by_key(|word| word.settings);
    let mut decided: BTreeMap<Vec<u8>, (Settings, bool)> = BTreeMap::new();
    for word in words {
        decided.entry(word.der).or_insert((word.settings, word.is_trusted));
    }
    let trusted = decided.into_iter().filter(|(_, (_, is_trusted))| *is_trusted);
    trusted.map(|(der, (settings, _))| AddedCertificate { der, settings }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_persons_word_goes_before_the_administrators() {
        use Settings::{Administrator, Person};
        let word = |settings, der: u8, is_trusted| Word { settings, der: vec![der], is_trusted };
        let decided = decide(vec![
            word(Administrator, 1, true),
            word(Administrator, 2, true),
            word(Person, 2, false),
            word(Administrator, 3, false),
            word(Person, 3, true),
            word(Person, 4, true),
            word(Administrator, 4, true),
        ]);
        let found: Vec<_> = decided.iter().map(|it| (it.der[0], it.settings)).collect();
        assert_eq!(found, [(1, Administrator), (3, Person), (4, Person)]);
    }
}
