//! What this computer's network asks for: certificates it trusts beyond the public set, and its proxies.
//!
//! On Macs the Keychain has such certificates, elsewhere they are files. Read anew at each start of a machine; nothing is cached and nothing is written. A company that re-signs TLS
//! puts its certificate authority into one of the folders that the operating system's own tools read; so do
//! builds and containers in the machine without further ado. The setting `trust_host_network` switches all of it.

mod certificates;
mod proxies;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use host::certificates::Added;

pub use self::certificates::{Certificate, UnreadableSource};

/// Folders whose certificates the tools of the distributions add to the public set: Debian, Fedora, Arch, SUSE.
const ANCHOR_FOLDERS: [&str; 4] = [
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
    "/etc/pki/trust/anchors",
];

/// Variable that names one more file of certificates.
const EXTRA_FILE_VARIABLE: &str = "COVE_EXTRA_CA_FILE";

/// What the machine is told of this computer's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostTrust {
    /// Certificates beyond the public set, each once.
    pub certificates: Vec<Certificate>,
    /// Proxy variables as processes in the machine must see them. May hold passwords: not for logs.
    pub proxy: BTreeMap<String, String>,
    /// What was to be read and could not be.
    pub unreadable: Vec<UnreadableSource>,
}

/// Where to look; the tests have places of their own.
#[derive(Debug, Clone)]
struct Places {
    anchor_folders: Vec<Utf8PathBuf>,
    extra_file: Option<Utf8PathBuf>,
    added: Added,
    environment_file: Utf8PathBuf,
    variables: BTreeMap<String, String>,
}

impl HostTrust {
    /// What this computer says now. Files that cannot be read are named in the answer; they stop nothing.
    pub fn read() -> Self {
        // Variables that are no UTF-8 cannot be proxies.
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read_from(&Places {
            anchor_folders: ANCHOR_FOLDERS.map(Utf8PathBuf::from).to_vec(),
            extra_file: variables.get(EXTRA_FILE_VARIABLE).filter(|path| !path.is_empty()).map(Into::into),
            added: host::certificates::added(),
            environment_file: "/etc/environment".into(),
            variables,
        })
    }

    fn read_from(places: &Places) -> Self {
        let (certificates, unreadable) =
            certificates::read(&places.anchor_folders, places.extra_file.as_deref(), &places.added);
        // The file is for sessions that a display manager starts; a daemon started otherwise has not seen it.
        let from_file = fs_err::read_to_string(&places.environment_file)
            .map(|text| proxies::parse_environment_file(&text))
            .unwrap_or_default();
        let proxy = proxies::for_the_guest(&places.variables, &from_file);
        Self { certificates, proxy, unreadable }
    }

    /// All certificates as one PEM text; empty for none.
    pub fn bundle(&self) -> String {
        self.certificates.iter().map(|certificate| certificate.pem.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    /// Not real certificates, but DER as far as anybody here looks: a sequence with a length.
    fn der(seed: u8) -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x00, 100];
        der.extend(std::iter::repeat_n(seed, 100));
        der
    }

    fn pem(seed: u8) -> String {
        Certificate::from_der(&der(seed), Utf8Path::new("/x")).unwrap().pem
    }

    fn read(folder: &Utf8Path, extra: Option<&Utf8Path>) -> HostTrust {
        HostTrust::read_from(&Places {
            anchor_folders: vec![folder.to_owned(), folder.join("absent")],
            extra_file: extra.map(Utf8Path::to_owned),
            added: Added::default(),
            environment_file: folder.join("environment"),
            variables: BTreeMap::new(),
        })
    }

    #[test]
    fn certificates_are_found_in_any_wrapping_and_each_once() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        fs_err::create_dir(folder.join("company")).unwrap();
        let several = format!("subject=/CN=A\r\n{}junk\n{}trailer", pem(1).replace('\n', "\r\n"), pem(2));
        fs_err::write(folder.join("several.crt"), several).unwrap();
        fs_err::write(folder.join("company/again.pem"), pem(2).replace('\n', "\n ")).unwrap();
        fs_err::write(folder.join("company/binary.cer"), der(3)).unwrap();
        fs_err::write(folder.join("company/README.txt"), pem(4)).unwrap();
        let found = read(folder, None);
        let bundle = found.bundle();
        assert_eq!(found.certificates.len(), 3, "{bundle}");
        for seed in 1..=3 {
            assert!(bundle.contains(&pem(seed)), "certificate {seed} is missing");
        }
        assert!(!bundle.contains("junk"));
    }

    #[test]
    fn a_damaged_block_costs_only_itself_and_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let damaged = "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n";
        fs_err::write(folder.join("mixed.crt"), format!("{damaged}{}{cut}", pem(1))).unwrap();
        let found = read(folder, Some(&folder.join("absent.pem")));
        assert_eq!(found.bundle(), pem(1));
        let told: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("mixed.crt") && told[2].contains("absent.pem"), "{told:?}");
    }

    #[test]
    fn certificates_of_the_system_itself_come_before_files_and_are_told_of_by_its_name() {
        use host::certificates::{AddedCertificate, Settings};
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        fs_err::write(folder.join("company.pem"), pem(1)).unwrap();
        let added = |seed| AddedCertificate { der: der(seed), settings: Settings::Administrator };
        let damaged = AddedCertificate { der: vec![1, 2], settings: Settings::Person };
        let found = HostTrust::read_from(&Places {
            anchor_folders: vec![folder.to_owned()],
            extra_file: None,
            added: Added {
                certificates: vec![added(1), added(2), damaged],
                unreadable: vec![(Settings::Person, "it is locked".to_owned())],
            },
            environment_file: folder.join("environment"),
            variables: BTreeMap::new(),
        });
        let sources: Vec<_> = found.certificates.iter().map(|found| found.source.as_str()).collect();
        assert_eq!(sources, ["Keychain (System)", "Keychain (System)"]);
        let told: Vec<String> = found.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["Keychain (login): it is locked", "Keychain (login): a certificate in it is damaged"]
        );
    }

    #[test]
    fn a_private_key_beside_a_certificate_stays_here() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\nMIIBSECRET\n-----END PRIVATE KEY-----\n";
        fs_err::write(folder.join("both.pem"), format!("{key}{}", pem(1))).unwrap();
        assert_eq!(read(folder, None).bundle(), pem(1));
    }
}
