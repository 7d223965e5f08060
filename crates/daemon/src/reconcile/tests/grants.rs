//! Credentials in whole environments: the person's own ssh-agent, git, gpg and ssh-keygen on one side, the real clients on
//! the other. The container's files are reached as root of this computer reaches them, `/proc/PID/root`, so that clients
//! need not be in the image.

mod commands;
mod git;
mod signing;
mod ssh;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use api::{AuditEvent, Environment, GrantKind, GrantRequest};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use test_support::dockerd::BASE_IMAGE;
use test_support::portable;

use super::Place;

/// An environment that runs, and a person.
struct Story {
    place: Place,
    web: Environment,
    person: Person,
}

/// A home folder, and programs as this person has them.
struct Person {
    home: Utf8PathBuf,
    _temp: tempfile::TempDir,
}

impl Person {
    fn new() -> Self {
        let temp = tempfile::Builder::new().prefix("ada").tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        fs_err::create_dir(home.join("bin")).unwrap();
        // OpenSSH goes by the account's home folder, whatever `HOME` says.
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {home}/ssh_config \"$@\"\n");
        test_support::put_program(home.join("bin/ssh"), &ssh);
        fs_err::write(
            home.join("ssh_config"),
            format!("UserKnownHostsFile {home}/known_hosts\nGlobalKnownHostsFile none\n"),
        )
        .unwrap();
        Self { home, _temp: temp }
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap();
        let variables = [
            ("HOME", self.home.to_string()),
            ("PATH", format!("{}/bin:{path}", self.home)),
            ("GIT_CONFIG_GLOBAL", format!("{}/gitconfig", self.home)),
            ("GNUPGHOME", format!("{}/gnupg", self.home)),
            ("DOCKER_CONFIG", format!("{}/docker", self.home)),
            ("SSH_AUTH_SOCK", format!("{}/agent", self.home)),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// A program of this person's, on this computer.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables()).env("GIT_CONFIG_SYSTEM", "/dev/null").env("LC_ALL", "C");
        command
    }

    fn run(&self, argv: &[&str]) -> String {
        said(&self.command(argv[0]).args(&argv[1..]).output().unwrap())
    }
}

/// What a program said that succeeded.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Story {
    /// `None` where there is no engine for tests.
    async fn begin(more: &str) -> Option<Self> {
        let place = Place::start("web")?;
        let programs = place.folder.join("programs");
        fs_err::create_dir(&programs).unwrap();
        fs_err::copy(test_support::inside::program(), programs.join("cove-inside")).unwrap();
        let config = format!(
            r#"{{"image": "{BASE_IMAGE}", "remoteUser": "vscode", {more}
                "mounts": ["type=bind,source=${{localWorkspaceFolder}}/programs,target=/dev/cove/bin,readonly"]}}"#
        );
        place.write(&[(".devcontainer/devcontainer.json", &config)]);
        let person = Person::new();
        person.run(&["git", "init", "--quiet", place.folder.as_str()]);
        for (name, value) in [("user.name", "Ada \"the\" Countess"), ("user.email", "ada@example.com")] {
            person.run(&["git", "-C", place.folder.as_str(), "config", name, value]);
        }
        let web = place.up(&place.request()).await;
        assert_eq!(web.status.problem, None);
        place.reconciler.parts().grants.ready(&web.id).await;
        Some(Self { place, web, person })
    }

    /// What `cove grant` asks for.
    async fn grant(&self, kind: GrantKind, host: Option<&str>) {
        self.grant_for(kind, host, None).await;
    }

    async fn grant_for(&self, kind: GrantKind, host: Option<&str>, seconds: Option<u64>) {
        let host = host.map(str::to_owned);
        let request = GrantRequest { kind, host, seconds, variables: self.person.variables() };
        let grant = request.grant(Timestamp::now()).unwrap();
        let changed = self.place.fixture.store.change_grants(&self.web.id, |grants| grants.push(grant));
        changed.unwrap();
        self.place.reconciler.parts().grants.changed(&self.web.id).await;
    }

    /// What `cove revoke --all` does.
    fn revoke(&self) {
        self.place.fixture.store.change_grants(&self.web.id, Vec::clear).unwrap();
    }

    async fn settle(&self) {
        self.place.reconciler.parts().grants.changed(&self.web.id).await;
    }

    /// A file of the container.
    fn inside(&self, path: &str) -> Utf8PathBuf {
        let id = &self.web.status.container.as_ref().unwrap().id;
        let pid = self.place.docker(&["inspect", "--format", "{{.State.Pid}}", id]);
        Utf8Path::new("/proc").join(pid.trim()).join("root").join(path.trim_start_matches('/'))
    }

    /// Uses and refusals, as the log has them by now.
    async fn audit(&self) -> Vec<String> {
        let audit = crate::audit::Audit::open(&self.place.fixture.paths.audit_dir()).unwrap();
        assert_eq!(audit.verify().await.unwrap().broken, None);
        let records = audit.read(Some(self.web.id.clone()), None).await.unwrap();
        let line = |event| match event {
            AuditEvent::Used { kind, host, purpose } => {
                format!("used {kind} {}: {purpose}", host.unwrap_or_default())
            }
            AuditEvent::Refused { kind, host, purpose, reason } => {
                format!("refused {kind} {}: {purpose}: {reason}", host.unwrap_or_default())
            }
            AuditEvent::Expired { kind, .. } => format!("over {kind}"),
            other => format!("{other:?}"),
        };
        records.into_iter().map(|record| line(record.event)).collect()
    }

    async fn end(self) {
        self.place.end().await;
    }
}
