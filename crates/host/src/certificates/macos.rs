//! The Keychain's settings of trust.

use security_framework::trust_settings::{Domain, TrustSettings, TrustSettingsForCertificate};

use super::{Added, Settings, Word, decide};

pub(super) fn added() -> Added {
    let (mut words, mut unreadable) = (Vec::new(), Vec::new());
    for (settings, domain) in [(Settings::Person, Domain::User), (Settings::Administrator, Domain::Admin)] {
        let trust = TrustSettings::new(domain);
        let certificates = match trust.iter() {
            Ok(certificates) => certificates,
            Err(error) => {
                unreadable.push((settings, error.to_string()));
                continue;
            }
        };
        for certificate in certificates {
            let is_trusted = match trust.tls_trust_settings_for_certificate(&certificate) {
                // Apple's rule: without a setting of its own it is trusted always.
                Ok(setting) => matches!(
                    setting,
                    None | Some(
                        TrustSettingsForCertificate::TrustRoot | TrustSettingsForCertificate::TrustAsRoot
                    )
                ),
                Err(error) => {
                    unreadable.push((settings, format!("`{}`: {error}", certificate.subject_summary())));
                    continue;
                }
            };
            words.push(Word { settings, der: certificate.to_der(), is_trusted });
        }
    }
    Added { certificates: decide(words), unreadable }
}
