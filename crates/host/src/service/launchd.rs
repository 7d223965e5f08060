//! launchd: a LaunchAgent of a person, or a LaunchDaemon that runs as that person without a login.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use plist::{Dictionary, Value};

use super::{APP_IDENTIFIER, ARGUMENTS, Description, LABEL, Manager, Moment, Program, ServiceError, Tool};
use crate::account::Account;

/// launchd gives programs only the system's own folders; helpers for logins of registries are in these.
const PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// How long launchd may take to let go of a service before it takes it again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two tries.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The file that tells launchd of the daemon: a property list in XML.
///
/// With [`Program::InBundle`] it is the file that an app has in `Contents/Library/LaunchAgents` and registers with
/// `SMAppService`; it must be the same for everybody, so it names no folder of a person.
pub fn launchd_plist(description: &Description) -> Vec<u8> {
    let mut root = Dictionary::new();
    let mut set = |key: &str, value: Value| root.insert(key.to_owned(), value);
    set("Label", label(description.at_boot_for.as_ref()).into());
    let program = match &description.program {
        Program::At(path) => path.as_str(),
        Program::InBundle(path) => {
            set("BundleProgram", path.as_str().into());
            path.file_name().unwrap_or_default()
        }
    };
    let arguments = std::iter::once(program).chain(ARGUMENTS);
    set("ProgramArguments", Value::Array(arguments.map(Value::from).collect()));
    set("AssociatedBundleIdentifiers", Value::Array(vec![APP_IDENTIFIER.into()]));
    set("RunAtLoad", true.into());
    // Started again after a crash, and not after `cove daemon stop`.
    set("KeepAlive", dictionary([("SuccessfulExit", false.into())]));
    // Without this, programs of launchd, and the machines below them, get less of processors and disks.
    set("ProcessType", "Interactive".into());
    // The machine is no child to be ended with the daemon.
    set("AbandonProcessGroup", true.into());
    // What is made without a word on who may read it is for its owner.
    set("Umask", 0o077.into());
    let mut variables = vec![("PATH", PATH.into())];
    if let Some(account) = &description.at_boot_for {
        set("UserName", account.name.as_str().into());
        variables.push(("HOME", account.home.as_str().into()));
    }
    if let Some(folder) = &description.state_folder {
        variables.push(("COVE_HOME", folder.as_str().into()));
    }
    set("EnvironmentVariables", dictionary(variables));
    let mut text = Vec::new();
    Value::Dictionary(root).to_writer_xml(&mut text).expect("writing to memory cannot fail");
    text.push(b'\n');
    text
}

fn dictionary<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Dictionary(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// One for each person at boot: these share a folder.
fn label(at_boot_for: Option<&Account>) -> String {
    match at_boot_for {
        Some(account) => format!("{LABEL}.{}", account.name),
        None => LABEL.to_owned(),
    }
}

/// The services of a person, as launchd has them.
#[derive(Debug)]
pub(super) struct Launchd {
    account: Account,
    pub(super) agents: Utf8PathBuf,
    pub(super) daemons: Utf8PathBuf,
    pub(super) tool: Tool,
}

impl Launchd {
    #[cfg_attr(not(any(test, target_os = "macos")), expect(dead_code, reason = "launchd is macOS's"))]
    pub(super) fn new(account: &Account, home: &Utf8Path) -> Self {
        Self {
            account: account.clone(),
            agents: home.join("Library/LaunchAgents"),
            daemons: "/Library/LaunchDaemons".into(),
            tool: Tool("launchctl".into()),
        }
    }

    fn label(&self, moment: Moment) -> String {
        match moment {
            Moment::Login => label(None),
            Moment::Boot => label(Some(&self.account)),
        }
    }

    /// Where services of a kind live: with the person's login, or with the computer.
    fn domain(&self, moment: Moment) -> String {
        match moment {
            Moment::Login => format!("gui/{}", self.account.uid),
            Moment::Boot => "system".to_owned(),
        }
    }

    fn target(&self, moment: Moment) -> String {
        format!("{}/{}", self.domain(moment), self.label(moment))
    }

    /// Tries until launchd has let go of what it was told to end: it does so in its own time.
    fn insist(&self, arguments: &[&str]) -> Result<(), ServiceError> {
        let begun = Instant::now();
        loop {
            match self.tool.run(arguments) {
                Err(ServiceError::Refused { .. }) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                done => return done,
            }
        }
    }
}

impl Manager for Launchd {
    fn file(&self, moment: Moment) -> Utf8PathBuf {
        let folder = match moment {
            Moment::Login => &self.agents,
            Moment::Boot => &self.daemons,
        };
        folder.join(format!("{}.plist", self.label(moment)))
    }

    fn text(&self, description: &Description) -> Vec<u8> {
        launchd_plist(description)
    }

    fn read(&self, text: &[u8]) -> Option<(Utf8PathBuf, Option<Utf8PathBuf>)> {
        let value = Value::from_reader(std::io::Cursor::new(text)).ok()?;
        let root = value.as_dictionary()?;
        let program = root.get("ProgramArguments")?.as_array()?.first()?.as_string()?;
        let variables = root.get("EnvironmentVariables").and_then(Value::as_dictionary);
        let folder = variables.and_then(|them| them.get("COVE_HOME")).and_then(Value::as_string);
        Some((program.into(), folder.map(Utf8PathBuf::from)))
    }

    fn check(&self, _: Moment) -> Result<(), ServiceError> {
        Ok(())
    }

    fn is_loaded(&self, moment: Moment) -> bool {
        self.tool.run(&["print", &self.target(moment)]).is_ok()
    }

    fn load(&self, moment: Moment) -> Result<(), ServiceError> {
        let (target, domain, file) = (self.target(moment), self.domain(moment), self.file(moment));
        if moment == Moment::Login && self.tool.run(&["print", &domain]).is_err() {
            // Nobody is logged in at the screen, as over ssh: the file is read at the next login.
            return Ok(());
        }
        if self.is_loaded(moment) {
            self.tool.run(&["bootout", &target])?;
        }
        // One that somebody switched off by hand would be refused.
        self.tool.run(&["enable", &target])?;
        self.insist(&["bootstrap", &domain, file.as_str()])
    }

    fn unload(&self, moment: Moment) -> Result<(), ServiceError> {
        if self.is_loaded(moment) { self.tool.run(&["bootout", &self.target(moment)]) } else { Ok(()) }
    }

    fn forget(&self, _: Moment) {}
}
