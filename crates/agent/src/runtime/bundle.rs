//! The edits of a container's description. Fields that we do not know stay as they are.

use serde_json::{Value, json};

use crate::configuration::ContainerAdditions;
use crate::emulation::rosetta;
use crate::trust;

/// Where containers find the certificates: in their own `/dev`, a tmpfs, so that no image layer keeps a trace.
const PLACE: &str = "/dev/cove/ca";

/// Where containers find our own programs, below the same `/dev`.
const PROGRAMS_PLACE: &str = "/dev/cove/bin";

/// Variables that make programs trust the union of both sets; each stands for a family of tools.
const BUNDLE_VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];
const JAVA_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
const JAVA_TRUSTSTORE: &str = "-Djavax.net.ssl.trustStore=";

/// What a guest may have for its containers, beside the certificates.
#[derive(Clone, Copy, Default)]
pub(super) struct Folders<'a> {
    /// Our own programs.
    pub(super) programs: Option<&'a str>,
    /// The socket of Rosetta's cache.
    pub(super) rosetta_cache: Option<&'a str>,
}

/// Mounts the certificates, and the guest's folders for containers, into a new container and sets its first process's
/// variables.
///
/// The folder is mounted even when the host has no certificates of its own: they may come while the container
/// runs, and processes started then are to find them.
pub(super) fn edit_container(description: &mut Value, additions: &ContainerAdditions, folders: Folders<'_>) {
    let Some(mounts) = description.get_mut("mounts").and_then(Value::as_array_mut) else { return };
    let destination = |mount: &Value, place: &str| mount.get("destination").is_some_and(|at| at == place);
    let has_own_devices = mounts
        .iter()
        .any(|mount| destination(mount, "/dev") && mount.get("type").is_some_and(|kind| kind == "tmpfs"));
    if !has_own_devices {
        return;
    }
    let folders = [
        (PLACE, Some(trust::FOLDER), "noexec"),
        (rosetta::SOCKET_FOLDER, folders.rosetta_cache, "noexec"),
        (PROGRAMS_PLACE, folders.programs, "exec"),
    ];
    for (place, source, programs_run) in folders {
        if let Some(source) = source
            && !mounts.iter().any(|mount| destination(mount, place))
        {
            // A socket can be connected to on a mount that is read-only.
            mounts.push(json!({
                "destination": place,
                "type": "bind",
                "source": source,
                "options": ["bind", "ro", "nosuid", "nodev", programs_run, "rprivate"],
            }));
        }
    }
    if let Some(process) = description.get_mut("process") {
        edit_environment(process, additions);
    }
}

/// Sets variables of a process where it does not set them itself.
pub(super) fn edit_environment(process: &mut Value, additions: &ContainerAdditions) {
    let Some(process) = process.as_object_mut() else { return };
    let variables = process.entry("env").or_insert_with(|| json!([]));
    let Some(variables) = variables.as_array_mut() else { return };
    if additions.certificates {
        for name in BUNDLE_VARIABLES {
            set_if_absent(variables, name, &format!("{PLACE}/bundle.pem"));
        }
        // Node adds this file to a set of its own.
        set_if_absent(variables, "NODE_EXTRA_CA_CERTS", &format!("{PLACE}/extra.pem"));
        if additions.truststore {
            add_truststore(variables);
        }
    }
    for (name, value) in &additions.proxy {
        set_if_absent(variables, name, value);
    }
}

fn value_of<'a>(variable: &'a Value, name: &str) -> Option<&'a str> {
    variable.as_str()?.strip_prefix(name)?.strip_prefix('=')
}

fn set_if_absent(variables: &mut Vec<Value>, name: &str, value: &str) {
    if !variables.iter().any(|variable| value_of(variable, name).is_some()) {
        variables.push(Value::String(format!("{name}={value}")));
    }
}

/// Java takes its options from one variable, which others may use too.
fn add_truststore(variables: &mut Vec<Value>) {
    let options = format!(
        "{JAVA_TRUSTSTORE}{PLACE}/bundle.p12 -Djavax.net.ssl.trustStoreType=PKCS12 \
         -Djavax.net.ssl.trustStorePassword={}",
        trust::PASSWORD
    );
    let present = variables.iter_mut().find(|variable| value_of(variable, JAVA_OPTIONS).is_some());
    match present {
        None => variables.push(Value::String(format!("{JAVA_OPTIONS}={options}"))),
        Some(Value::String(text)) if !text.contains(JAVA_TRUSTSTORE) => {
            text.push(' ');
            text.push_str(&options);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Folders<'_> = Folders { programs: Some("/programs"), rosetta_cache: Some("/uds") };

    fn additions() -> ContainerAdditions {
        ContainerAdditions {
            certificates: true,
            truststore: true,
            proxy: [("https_proxy".to_owned(), "http://proxy:3128".to_owned())].into(),
        }
    }

    fn description(variables: &[&str]) -> Value {
        json!({
            "ociVersion": "1.1.0",
            "unheardOf": {"kept": [1, 18_446_744_073_709_551_615_u64]},
            "process": {"args": ["sh"], "env": variables, "unheardOf": null},
            "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
        })
    }

    fn variables(description: &Value) -> Vec<&str> {
        description["process"]["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }

    #[test]
    fn certificates_and_proxies_are_added_and_all_else_is_kept() {
        let mut edited = description(&["PATH=/bin"]);
        edit_container(&mut edited, &additions(), Folders::default());
        assert_eq!(edited["unheardOf"], description(&[])["unheardOf"]);
        assert_eq!(edited["process"]["args"], json!(["sh"]));
        assert_eq!(edited["mounts"][1]["destination"], PLACE);
        let variables = variables(&edited);
        for expected in [
            "PATH=/bin",
            "SSL_CERT_FILE=/dev/cove/ca/bundle.pem",
            "NODE_EXTRA_CA_CERTS=/dev/cove/ca/extra.pem",
            "https_proxy=http://proxy:3128",
        ] {
            assert!(variables.contains(&expected), "{expected} in {variables:?}");
        }
    }

    #[test]
    fn what_the_container_says_itself_wins() {
        let own = ["SSL_CERT_FILE=/own.pem", "https_proxy=", "JAVA_TOOL_OPTIONS=-Xmx1g"];
        let mut edited = description(&own);
        edit_container(&mut edited, &additions(), Folders::default());
        let variables = variables(&edited);
        assert!(variables.contains(&"SSL_CERT_FILE=/own.pem") && variables.contains(&"https_proxy="));
        assert_eq!(variables.iter().filter(|text| text.starts_with("SSL_CERT_FILE=")).count(), 1);
        let java = variables.iter().find(|text| text.starts_with(JAVA_OPTIONS)).unwrap();
        assert!(
            java.starts_with("JAVA_TOOL_OPTIONS=-Xmx1g -Djavax.net.ssl.trustStore=/dev/cove/ca/"),
            "{java}"
        );
    }

    #[test]
    fn editing_twice_changes_nothing_more() {
        let mut once = description(&[]);
        edit_container(&mut once, &additions(), ALL);
        let mut twice = once.clone();
        edit_container(&mut twice, &additions(), ALL);
        assert_eq!(once, twice);
    }

    #[test]
    fn without_anything_configured_only_the_folder_is_mounted() {
        let mut edited = description(&["A=b"]);
        edit_container(&mut edited, &ContainerAdditions::default(), Folders::default());
        assert_eq!(variables(&edited), ["A=b"]);
        assert_eq!(edited["mounts"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_container_gets_the_folders_that_the_guest_has_for_it_and_runs_programs_of_one() {
        let mut edited = description(&[]);
        edit_container(&mut edited, &ContainerAdditions::default(), ALL);
        let mounts = edited["mounts"].as_array().unwrap()[1..].iter().map(|mount| {
            let options = mount["options"].as_array().unwrap();
            assert!(options.contains(&json!("ro")), "{mount}");
            let text = |name: &str| mount[name].as_str().unwrap();
            (text("destination"), text("source"), !options.contains(&json!("noexec")))
        });
        assert_eq!(
            mounts.collect::<Vec<_>>(),
            [
                ("/dev/cove/ca", trust::FOLDER, false),
                ("/dev/cove/rosetta", "/uds", false),
                ("/dev/cove/bin", "/programs", true),
            ]
        );
    }

    #[test]
    fn a_container_on_other_devices_is_left_alone() {
        let mut foreign = description(&[]);
        foreign["mounts"][0]["type"] = json!("bind");
        let before = foreign.clone();
        edit_container(&mut foreign, &additions(), ALL);
        assert_eq!(foreign, before);
        for mut nonsense in [json!(null), json!([]), json!({"mounts": 3}), json!({"process": {"env": {}}})] {
            edit_container(&mut nonsense, &additions(), ALL);
            edit_environment(&mut nonsense, &additions());
        }
    }
}
