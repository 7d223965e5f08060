//! What is printed on standard output: one line of JSON whose keys and their order are the reference's.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

/// What `up` did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Up {
    pub(crate) outcome: Success,
    pub(crate) container_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compose_project_name: Option<String>,
    pub(crate) remote_user: String,
    pub(crate) remote_workspace_folder: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merged_configuration: Option<Value>,
    pub(crate) oci_auth_diagnostics: OciAuthDiagnostics,
}

/// What the reference notes about its way to registries. None of it can happen here: credentials go to the host that
/// they are for, and nowhere else.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciAuthDiagnostics {
    auth_lookup_would_be_blocked: bool,
    registry_redirect_would_prevent_credential_forwarding: bool,
    auth_server_redirect: bool,
}

/// What `set-up` did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetUp {
    pub(crate) outcome: Success,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merged_configuration: Option<Value>,
}

/// What `build` did. The reference prints one name bare where compose has built it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Build {
    pub(crate) outcome: Success,
    pub(crate) image_name: Value,
    pub(crate) oci_auth_diagnostics: OciAuthDiagnostics,
}

/// How far `run-user-commands` went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ran {
    pub(crate) outcome: Success,
    pub(crate) result: provision::lifecycle::Reached,
}

/// The word of a success.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Success {
    /// The only one.
    Success,
}

/// Why a command failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What failed, in the reference's words where it has some: callers show it.
    pub(crate) description: String,
    /// Why; the same as the description where there is nothing more to say.
    pub(crate) message: String,
    /// The container, where there is one to look at.
    pub(crate) container_id: Option<String>,
    /// More lines for the log.
    pub(crate) details: Vec<String>,
}

/// The JSON of a failure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    outcome: &'a str,
    message: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<&'a str>,
}

impl Failure {
    /// A failure about which there is one thing to say.
    pub(crate) fn plain(description: impl Into<String>) -> Self {
        let description = description.into();
        Self { message: description.clone(), description, ..Self::default() }
    }

    /// A failure of something below, with its causes.
    pub(crate) fn caused(description: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { description: description.to_owned(), message: with_causes(error), ..Self::default() }
    }

    /// Prints it where programs look for it. The log has it already.
    pub(crate) fn print(&self) -> ExitCode {
        let failed = Failed {
            outcome: "error",
            message: &self.message,
            description: &self.description,
            container_id: self.container_id.as_deref(),
        };
        line(&failed);
        ExitCode::FAILURE
    }
}

/// An error and what is under it, joined by colons.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Prints one line of JSON.
pub(crate) fn line(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("outcomes hold only strings as keys and finite numbers");
    print(&format!("{text}\n"));
}

/// Prints on standard output.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Who closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Ends a run that has not come as far as a log.
pub(crate) fn cannot_begin(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "{why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_references_order() {
        let up = Up {
            outcome: Success::Success,
            container_id: "c".into(),
            compose_project_name: None,
            remote_user: "me".into(),
            remote_workspace_folder: "/w".into(),
            configuration: None,
            merged_configuration: None,
            oci_auth_diagnostics: OciAuthDiagnostics::default(),
        };
        assert_eq!(
            serde_json::to_string(&up).unwrap(),
            "{\"outcome\":\"success\",\"containerId\":\"c\",\"remoteUser\":\"me\",\"remoteWorkspaceFolder\":\"/w\",\
             \"ociAuthDiagnostics\":{\"authLookupWouldBeBlocked\":false,\
             \"registryRedirectWouldPreventCredentialForwarding\":false,\"authServerRedirect\":false}}"
        );
        let failed = Failed { outcome: "error", message: "m", description: "d", container_id: Some("c") };
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            r#"{"outcome":"error","message":"m","description":"d","containerId":"c"}"#
        );
    }
}
