//! What a failed request means, and whether to try again.

use std::error::Error;

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use reqwest::StatusCode;

use crate::error::OciError;
use crate::retry::{Again, Failure};

/// What is told of an answer's text.
const LONGEST_MESSAGE: usize = 300;

/// A request that got no whole answer.
pub(crate) fn of_request(error: &reqwest::Error, host: &str) -> Failure {
    if let Some(status) = error.status() {
        return by_status(host, status, "");
    }
    let host = host.to_owned();
    if error.is_builder() {
        return OciError::Tls { reason: innermost(error) }.into();
    }
    let unreachable = |reason: String, again| Failure {
        error: OciError::Unreachable { host: host.clone(), reason },
        again,
    };
    match in_chain::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            return OciError::UntrustedCertificate { host, reason: fault.to_string() }.into();
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            return unreachable("it does not speak TLS".to_owned(), Again::No);
        }
        _ => {}
    }
    if error.is_redirect() {
        return OciError::Protocol { host, fault: innermost(error) }.into();
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => unreachable("no connection in time".to_owned(), Again::No),
        (false, true) => unreachable("no answer in time".to_owned(), Again::Once),
        (true, false) => unreachable(innermost(error), Again::Once),
        (false, false) => unreachable(innermost(error), Again::Later(None)),
    }
}

/// An answer that is no success.
pub(crate) fn by_status(host: &str, status: StatusCode, text: &str) -> Failure {
    let again = match status.as_u16() {
        408 | 429 | 500 | 502..=504 => Again::Later(None),
        _ => Again::No,
    };
    Failure {
        error: OciError::Answer { host: host.to_owned(), status: status.as_u16(), message: message(text) },
        again,
    }
}

/// A call of the registry client that failed.
pub(crate) fn of_client(error: &OciDistributionError, host: &str, what: &str) -> Failure {
    let protocol = |fault: String| OciError::Protocol { host: host.to_owned(), fault }.into();
    let status = |code: u16, text: &str| {
        StatusCode::from_u16(code)
            .map_or_else(|_| protocol(text.to_owned()), |status| by_status(host, status, text))
    };
    match error {
        OciDistributionError::RequestError(error) => of_request(error, host),
        OciDistributionError::UnauthorizedError { .. } => status(401, ""),
        OciDistributionError::ServerError { code, message, .. } => status(*code, message),
        OciDistributionError::RegistryError { envelope, .. } => {
            let text = envelope.to_string();
            match envelope.errors.first().map(|error| &error.code) {
                Some(OciErrorCode::Unauthorized) => status(401, &text),
                Some(OciErrorCode::Denied) => status(403, &text),
                Some(OciErrorCode::Toomanyrequests) => status(429, &text),
                Some(
                    OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound,
                ) => status(404, &text),
                _ => protocol(text),
            }
        }
        OciDistributionError::DigestError(error) => mismatch(error, host, what),
        OciDistributionError::IoError(error) => of_stream(error, host, what),
        other => protocol(other.to_string()),
    }
}

/// A stream of content that broke off.
pub(crate) fn of_stream(error: &std::io::Error, host: &str, what: &str) -> Failure {
    if let Some(error) = in_chain::<DigestError>(error) {
        return mismatch(error, host, what);
    }
    match in_chain::<reqwest::Error>(error) {
        Some(error) => of_request(error, host),
        None => Failure {
            error: OciError::Unreachable { host: host.to_owned(), reason: error.to_string() },
            again: Again::Later(None),
        },
    }
}

fn mismatch(error: &DigestError, host: &str, what: &str) -> Failure {
    match error {
        DigestError::VerificationError { expected, actual } => OciError::DigestMismatch {
            what: what.to_owned(),
            expected: expected.clone(),
            actual: actual.clone(),
        }
        .into(),
        other => OciError::Protocol { host: host.to_owned(), fault: other.to_string() }.into(),
    }
}

/// The first error of this type among the causes, also inside of I/O errors, which hide what they carry.
fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// The cause at the bottom, which is the one that says something.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    bottom.to_string()
}

/// What an answer's text says: the messages of the registry protocol, or its first line.
fn message(text: &str) -> String {
    let envelope: Option<oci_client::errors::OciEnvelope> = serde_json::from_str(text).ok();
    let said = match envelope {
        Some(envelope) => {
            let messages: Vec<_> = envelope.errors.into_iter().map(|error| error.message).collect();
            messages.join(", ")
        }
        None if text.trim_start().starts_with('<') => String::new(),
        None => text.trim().lines().next().unwrap_or_default().to_owned(),
    };
    said.chars().filter(|character| !character.is_control()).take(LONGEST_MESSAGE).collect()
}
