//! What can go wrong, in a form that every client shows alike.
//!
//! Each code is stable and has one page, generated from [`ProblemCode::explain`], in `docs/errors.md`.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Consent;

/// Something that failed, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable code.
    pub code: ProblemCode,
    /// What failed and on which object, in one line without a full stop.
    pub title: String,
    /// Causes, from the nearest to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Where in a file, when a file is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// The last lines of the output that goes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// The exit status of the command that failed, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What waits for consent, with [`ProblemCode::ConsentNeeded`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
}

impl Problem {
    /// A problem with a code and a title; the rest is added by the `with_…` methods.
    pub fn new(code: ProblemCode, title: impl Into<String>) -> Self {
        Self {
            code,
            title: title.into(),
            causes: Vec::new(),
            place: None,
            hints: Vec::new(),
            log_tail: Vec::new(),
            exit_code: None,
            consents: Vec::new(),
        }
    }

    /// Adds the chain of causes of an error: itself is not repeated if it is the title.
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            if text != self.title && self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Adds a next action.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(Hint { text: text.into(), command: None });
        self
    }

    /// Adds a next action that is a command.
    pub fn with_command(mut self, text: impl Into<String>, command: impl Into<String>) -> Self {
        self.hints.push(Hint { text: text.into(), command: Some(command.into()) });
        self
    }

    /// Says where in a file.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds the last lines of output.
    pub fn with_log(mut self, lines: Vec<String>) -> Self {
        self.log_tail = lines;
        self
    }

    /// Says how the command ended.
    pub fn with_exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Says what a person has to agree to.
    pub fn asking_consent(mut self, consents: Vec<Consent>) -> Self {
        self.consents = consents;
        self
    }

    /// Changes every text in it, for instance to mask secrets.
    pub fn map_texts(mut self, change: impl Fn(&str) -> String) -> Self {
        self.title = change(&self.title);
        let texts = self.causes.iter_mut().chain(&mut self.log_tail);
        for text in texts.chain(self.hints.iter_mut().map(|hint| &mut hint.text)) {
            *text = change(text);
        }
        self
    }

    /// Whether it may go away by itself.
    pub fn retry(&self) -> Retry {
        self.code.retry()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.title, self.code)
    }
}

impl std::error::Error for Problem {}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// A next action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hint {
    /// In words.
    pub text: String,
    /// The command that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// By itself, after a pause that grows.
    ByItself,
    /// After a person changed something, or asked again.
    OnRequest,
}

macro_rules! problem_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $retry:ident, $explain:literal;)+) => {
        /// Stable codes of everything that can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        // By hand: the derive reads no name that comes out of a macro.
        impl utoipa::PartialSchema for ProblemCode {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some("Stable codes of everything that can go wrong."))
                    .enum_values(Some([$($code),+]))
                    .into()
            }
        }

        impl ToSchema for ProblemCode {}

        impl ProblemCode {
            /// All of them, in order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code itself, for instance `E0104`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What it means, in one sentence: the heading of its page.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }

            /// What to do about it: the text of its page.
            pub fn explain(self) -> &'static str {
                match self { $(Self::$name => $explain),+ }
            }

            /// Whether trying again by itself can help.
            pub fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry),+ }
            }
        }
    };
}

problem_codes! {
    /// A fault in Cove itself.
    Internal = "E0001", ByItself, "Cove met a state it does not expect. Run `cove doctor`, and report what it prints together with `coved.log`.";
    /// The request makes no sense.
    InvalidRequest = "E0002", OnRequest, "A client sent something the daemon cannot read. If it was `cove` itself, update it so that both have one version.";
    /// There is no such environment.
    EnvironmentNotFound = "E0003", OnRequest, "`cove ls` lists the environments there are.";
    /// The resource was changed by somebody else in the meantime.
    Conflict = "E0004", OnRequest, "Read the resource again and repeat the change.";
    /// The name is taken by another environment.
    NameTaken = "E0005", OnRequest, "Choose another with `cove up --name NAME`.";
    /// The environment is not running.
    NotRunning = "E0006", OnRequest, "Start it with `cove start ENV`.";
    /// The daemon cannot be reached or started.
    DaemonUnreachable = "E0007", OnRequest, "Run `cove daemon` in another terminal to see why it does not come up, or read `coved.log` in the state folder.";
    /// The daemon and the command line are of different versions.
    VersionSkew = "E0008", OnRequest, "Stop the older daemon with `cove daemon stop`; the next command starts the new one. Machines and environments run on.";
    /// The daemon cannot be started with the computer.
    ServiceRefused = "E0009", OnRequest, "`cove daemon install` lets launchd or systemd start the daemon at your login, or, with `--at boot` and sudo, without one. The message says what they refused; nothing was changed. Without a service the first command that needs the daemon starts it.";
    /// ssh clients cannot be told of environments.
    SshConfig = "E0010", OnRequest, "`cove ssh-config install` begins `~/.ssh/config` with one line that includes Cove's own configuration, and `cove ssh-config remove` takes it away. A file that is read-only, as one that another tool writes, is left alone: let that tool write the line. `cove ssh ENV` and `ssh -F ~/.cove/ssh/config ENV.cove` need no line.";
    /// No editor can be opened.
    EditorMissing = "E0011", OnRequest, "`cove open` looks for VS Code, Cursor, Windsurf, Zed and JetBrains Gateway in `PATH`, and on a Mac among the applications. Install one, or put its command into `PATH`; in VS Code and its kin that is \"Shell Command: Install 'code' command in PATH\". `cove open --editor terminal` needs none, and `cove open --print` tells what another program can be given.";
    /// The audit log is not as it was written.
    AuditBroken = "E0012", OnRequest, "Each line of the audit log holds the hash of the line before it, and one does not fit: lines were changed, taken out or put in by something else than Cove. The lines before the place that is named are as they were written. `cove audit verify` looks at the whole log; it lies in the folder `audit` of the state folder.";

    /// The folder does not exist.
    FolderNotFound = "E0101", OnRequest, "Check the path; an environment belongs to a folder on this computer.";
    /// The folder is outside of what the machine may see.
    FolderNotShared = "E0102", OnRequest, "Share it with `cove machine share PATH`; where `cove machine status` says so, that needs a restart of the machine. By default only the home folder is shared.";
    /// devcontainer.json cannot be read.
    ConfigInvalid = "E0103", OnRequest, "The message names the line and column and what was expected there. Run `cove up` again after the file is mended.";
    /// The configuration that was asked for is not there.
    ConfigNotFound = "E0104", OnRequest, "Give the path of a devcontainer.json relative to the folder, or leave it out to use the one that the specification's rules find.";
    /// There are several configurations and none was chosen.
    ConfigAmbiguous = "E0105", OnRequest, "Choose one with `cove up --config PATH`.";
    /// The configuration names a service that its compose files do not have.
    ServiceUnknown = "E0106", OnRequest, "Correct `service` or `runServices` in devcontainer.json; the message lists the services there are.";
    /// The compose files cannot be read.
    ComposeInvalid = "E0107", OnRequest, "The message is Docker Compose's own and names the file and line.";
    /// Something that the configuration wants of this computer waits for consent.
    ConsentNeeded = "E0108", OnRequest, "`initializeCommand` runs on this computer, outside of any container, and a mount from outside of the folder shows files of it to the container. Read what is listed, then agree with `cove up --trust`; a change asks again. Without consent the environment comes up without it; a container that was made with it, or whose folder became a link to elsewhere since, is not started. `[consent]` in `config.toml` can say `always` or `never` once for all.";
    /// A property of the configuration has no effect.
    PropertyIdle = "E0109", OnRequest, "It is probably misspelt, or it means nothing beside another property; the message names both and the place. The environment comes up without it. Properties that are like no known one are for other tools, and nothing is said of them.";
    /// The configuration changed after the container was made.
    ConfigChanged = "E0110", OnRequest, "The container runs on as it was made. `cove plan` lists what changed and what a rebuild would cost; `cove up --rebuild` makes the container anew, `cove up --keep` does not ask. Volumes and the folder are kept.";
    /// The machine has less than the configuration asks for.
    RequirementsUnmet = "E0111", OnRequest, "`hostRequirements` in devcontainer.json says what the environment needs at least. The message gives the command that makes the machine large enough, where this computer has that much. A machine that was never started is made large enough by itself.";
    /// A secret that the configuration would like was not given.
    SecretMissing = "E0112", OnRequest, "`secrets` in devcontainer.json lists variables that the environment would like. `cove secret set NAME` asks for the value of one, keeps it encrypted, and gives it to hooks, `cove exec`, `cove shell` and ssh from then on; `--project` and `--env` keep it for some environments alone. The environment comes up without it.";
    /// Something that the configuration says of a feature may not be meant so.
    FeatureDoubtful = "E0113", OnRequest, "The feature does not know the option or value, which is passed on to it all the same; or it was renamed, or given up by its author. The message names the place and what to write instead. The environment comes up with it as it is written.";
    /// Files of the folder are not on this computer.
    FilesElsewhere = "E0114", OnRequest, "A cloud keeps them, and macOS took them off the disk to save space. It fetches a file when a program of this computer reads it, but a container that reads one gets `Resource deadlock avoided`. In Finder, choose \"Keep Downloaded\" for the folder; or move it to a place that no cloud keeps. Mind that the folders *Desktop* and *Documents* may be kept in iCloud too. Where the configuration itself is not on this computer, nothing is started.";
    /// The file of automations cannot be read.
    AutomationsInvalid = "E0115", OnRequest, "`.cove/automations.yaml` (or `.gitpod/automations.yaml`, `.ona/automations.yaml`) declares tasks and services. Every mistake in it comes with its line and column: `cove automations validate` lists them too. The environment comes up without it, and what ran before the mistake runs on. Mend the file, then `cove up`.";
    /// The file of automations changed.
    AutomationsChanged = "E0116", OnRequest, "Tasks and services run on as they were declared when the environment was last asked for. `cove up` reads the file again: services whose declaration changed are started again, those that are gone are stopped, and nothing else is touched.";
    /// The settings cannot be read, or cannot be so.
    SettingsInvalid = "E0117", OnRequest, "`config.toml` in the state folder holds your settings. The message names the line and column, or the key and what it can be. Nothing of the file was changed, and what it said when it was last read holds until it is mended; a daemon that is started meanwhile does not come up.";
    /// Something that runs has an older value of a secret.
    SecretStale = "E0118", OnRequest, "A process keeps the variables it was started with. Files of secrets are replaced at once; a variable has its new value in everything that is started from now on. Nothing is started again by itself: the message gives the command.";
    /// A repository asks for a login.
    CloneDenied = "E0119", OnRequest, "Without a grant git uses no credentials of yours: neither the credential helper, nor the ssh agent or keys, nor anything of your git configuration. `cove up URL --grant git` lets it use all of them for this one clone; they stay on this computer. Many hosts say \"not found\" of a private repository.";
    /// A clone holds work that is nowhere else.
    UnsavedWork = "E0120", OnRequest, "The sources of an environment that was made from a URL are in a volume on the machine's disk, and go with the environment. The message lists what was not committed or not pushed, or says why that cannot be told. Push it from within (`cove shell ENV`), or remove the environment with `cove rm --force ENV` and lose it.";
    /// A git worktree is not what was said of it.
    WorktreeInvalid = "E0121", OnRequest, "`cove up --worktree BRANCH` makes a git worktree beside the repository, or takes the one that there is, and lets the container see the repository's git folder for it. The worktree's `.git` file must lead into that folder: `git worktree repair` mends it after a move.";
    /// A repository could not be cloned.
    CloneFailed = "E0122", OnRequest, "`cove up URL` lets this computer's git clone the repository, and the message ends with git's own words. Check the URL and the branch, and the network and proxy of this computer. Nothing is left half done; `cove up` tries it again.";

    /// The image does not exist.
    ImageNotFound = "E0201", OnRequest, "Check the spelling of the image and that its registry has it.";
    /// The registry cannot be reached.
    RegistryUnreachable = "E0202", ByItself, "Check the network, the proxy and the name of the registry. `cove doctor` shows what the machine is told of them.";
    /// The registry asks for a login.
    RegistryDenied = "E0203", OnRequest, "Log in with `docker --context cove login REGISTRY`.";
    /// The image cannot be built.
    BuildFailed = "E0204", OnRequest, "The message names the step of the Dockerfile and ends with its output. The machine and other environments are not touched.";
    /// A lifecycle hook failed.
    HookFailed = "E0205", OnRequest, "The container is up: look at it with `cove shell ENV`. `cove up` runs the hook again, and not those that ended well.";
    /// The container does not start, or does not run any more.
    ContainerFailed = "E0206", OnRequest, "The message is Docker's own, or says with which status the container ended, or that it was removed; it comes with the last lines that the container said, and `cove logs ENV` shows all of them. A container that ended by itself, or that was stopped or removed by other means than Cove (`docker stop`, `devcontainer down`), is not started again by itself: `cove up` does that. With `overrideCommand` set to `false` it lasts as long as the command of its image: keep that running, or leave the property out.";
    /// A port of this computer is taken.
    PortTaken = "E0207", ByItself, "Stop the program that holds it, or let another port be used.";
    /// A wanted port was moved to another.
    PortMoved = "E0208", OnRequest, "Another program holds the port, so a free one is used instead. `cove show ENV` lists the ports.";
    /// A feature cannot be used.
    FeatureFailed = "E0209", OnRequest, "The message names the feature and what is wrong: its name, its version, its file, or that it is not what `devcontainer-lock.json` says. Nothing was built. Correct `features` in devcontainer.json; if a feature really changed, update the lockfile with `devcontainer upgrade`.";
    /// A published port is not opened on this computer.
    PortNotForwarded = "E0210", OnRequest, "TCP and UDP reach containers from this computer. A port that a container publishes for SCTP is open in the machine, for other containers and for `cove machine shell`, and nowhere else.";
    /// A port of this computer needs a privilege.
    PortPrivileged = "E0211", OnRequest, "Systems keep the lower ports, usually those below 1024, for root, and Cove's daemon is not root. Use another port: `-p 8080:80`, or for a port that is forwarded, no `requireLocalPort`. On Linux an administrator can lower the first port that everybody may open: `sudo sysctl net.ipv4.ip_unprivileged_port_start=80`, to last in a file below `/etc/sysctl.d`. macOS has no such setting for the loopback, the only place where Cove opens ports. `elevateIfNeeded` asks for the privilege; Cove never takes it, since whatever runs in a container could then be a system's server.";
    /// A key of `portsAttributes` names no ports.
    PortKeyRefused = "E0212", OnRequest, "A key is a port (`3000`), a range (`40000-55000`), a port of a service (`db:5432`), or a regular expression over the command line of the program that listens. Look-around and back-references are not understood: what they can do takes unbounded time. Other keys hold.";
    /// A task or service failed.
    AutomationFailed = "E0213", OnRequest, "The environment is up: only this task or service, and what depends on it, is not. `cove automations logs NAME` shows what it wrote; `cove automations run NAME` or `restart NAME` tries it again. A service with `restart` in its declaration is started again by itself.";
    /// A prebuild could not be made.
    PrebuildFailed = "E0214", OnRequest, "`cove prebuild` brings an environment of its own up as far as `updateContentCommand` and the tasks with the trigger `prebuild`, and makes an image of its container. The message says what stood in the way. A hook or task that wrote a secret's value into a file is refused, and so is a container that has other variables than its image: the prebuild would hold them. The environment stays, to be looked at; `cove prebuild` again begins anew, `cove rm` removes it.";
    /// There is a prebuild, and it is not used.
    PrebuildStale = "E0215", OnRequest, "A prebuild serves an `up` whose configuration says the same of what is in the image: image or Dockerfile, features, users, `onCreateCommand`, `updateContentCommand`. The message says what differs. The environment comes up without it; `cove prebuild` in a folder of the repository makes one that fits, for its clones too.";
    /// The file of a secret could not be put into the container.
    SecretNotPlaced = "E0216", OnRequest, "The message names the path in the container and what is in the way: something that Cove did not make is never replaced. Remove it, or choose another place with `cove secret set NAME --as-file=PATH`. Variables and the other files are there.";
    /// An environment has it.
    OwnedByEnvironment = "E0220", OnRequest, "Cove made it for an environment and looks after it: started, stopped or removed behind its back, the environment would be broken. The message has the command that does it properly. What an environment leaves behind that is gone (`cove rm`) may be removed like anything else.";
    /// The engine does not let go of what is in use.
    DockerInUse = "E0221", OnRequest, "The message is the engine's own and names what uses it. Stop or remove that first. An image that has several names, or of which stopped containers were made, can be removed by force.";
    /// The engine has no such thing.
    DockerNotFound = "E0222", OnRequest, "It may have been removed since the list was made. `docker --context cove ps -a`, `images`, `volume ls` and `network ls` list what there is.";
    /// The content of a volume cannot be listed.
    VolumeElsewhere = "E0223", OnRequest, "Cove lists folders of volumes that are on the machine's own disk. The content of others (NFS, a plugin's, a folder bound by options) is there only while a container has them: look from one, as the message shows.";
    /// An environment that nobody uses stops.
    StopsIdle = "E0230", OnRequest, "It was told to stop when it is not used for long (`cove up --idle`, or `[environments] idle` in `config.toml`). Nothing is lost: its container is kept, and the next `cove exec`, `shell`, `ssh`, `open` or visit of a name of its ports starts it. `cove keep-alive -- COMMAND` keeps it running for as long as a command does; `cove up --idle never` lets it run until you stop it. What counts as use is in `docs/idle.md`.";

    /// The machine does not start.
    MachineFailed = "E0301", ByItself, "`cove machine logs` shows its console and `cove doctor` checks what it needs.";
    /// QEMU is missing.
    HypervisorMissing = "E0302", OnRequest, "Install it: on Debian `apt-get install qemu-system-x86` (or `qemu-system-arm`).";
    /// virtiofsd is missing.
    VirtiofsdMissing = "E0303", OnRequest, "Install it with your distribution, with `cargo install virtiofsd`, or run `make run` once, which builds it.";
    /// The guest image is missing.
    GuestImageMissing = "E0304", OnRequest, "Build it with `make image`, or point `COVE_IMAGE_DIR` at one.";
    /// The guest image is damaged.
    GuestImageDamaged = "E0305", OnRequest, "A file differs from the digest in its manifest. Build or fetch the image again: `make image`. The data disk is a different file and is not touched.";
    /// No space is left on this computer.
    HostDiskFull = "E0306", ByItself, "Free some space on the disk that holds the state folder.";
    /// No space is left in the machine.
    MachineDiskFull = "E0307", OnRequest, "Free some with `docker --context cove system prune`, or grow the disk with `cove machine set --disk GIB`.";
    /// The Docker Engine in the machine does not answer.
    EngineDown = "E0308", ByItself, "It is started again by itself. `cove machine logs` shows why it ended.";
    /// The machine went away.
    MachineLost = "E0309", ByItself, "Its process was killed or crashed. It is started again when something needs it; files are safe, as after a power cut.";
    /// The guest in the machine is of another version.
    GuestVersion = "E0310", OnRequest, "Restart the machine with `cove machine restart` so that it boots the image that belongs to this version.";
    /// `docker` does not know the machine.
    DockerContextMissing = "E0311", OnRequest, "Make the context with `cove docker context`; `docker --context cove` and editors then find the machine.";
    /// A certificate of this computer cannot be handed to containers.
    CertificateUnreadable = "E0312", OnRequest, "The message names the file and what is wrong with it. Mend or remove the file; the other certificates are handed over.";
    /// The machine is paused.
    MachinePaused = "E0313", ByItself, "It was halted by `cove machine pause`, or because this computer sleeps. `cove machine resume` lets it go on, and so does everything that uses it. After a sleep it goes on by itself, and is used again once its clock is right; if that does not come about, `cove machine restart` starts it anew.";
    /// The computer's own Docker socket is not changed.
    SystemSocket = "E0314", OnRequest, "`cove docker socket --system on` makes `/var/run/docker.sock` lead to Cove, for programs that know neither contexts nor `DOCKER_HOST`. Only root may change that place, and another program's link or socket there is left alone: with `--force` it is put aside, and `--system off` puts it back.";
    /// Changes of files on this computer do not reach watchers in containers.
    FilesNotFollowed = "E0315", OnRequest, "Programs in containers that wait for changes of files (`vite`, `tsc --watch`, `cargo watch`) do not hear of what is changed on this computer in that folder. All else works: they see the changed files when they look. Let them poll, or do what the message says; it is tried again by itself.";
    /// The secrets that are kept cannot be read.
    SecretsUnreadable = "E0318", OnRequest, "They lie encrypted in `secrets/store.age` of the state folder; the key is in your Keychain, in the keyring of your desktop, or in `secrets/key` beside it. Unlock the keyring, or put back what is missing from a backup; nothing is overwritten meanwhile. If the key is lost for good, move `store.age` away and set the secrets anew with `cove secret set`.";
    /// Programs in the machine wait for what it has too little of.
    UnderPressure = "E0330", OnRequest, "For five minutes at least one program in the machine nearly always waited. Too little memory: give it more with `cove machine set --memory 8G`, or stop an environment. A slow disk: often a backup or a virus scanner of this computer that reads the machine's disk. `cove machine status` shows the figures.";
    /// A machine that nobody uses stops.
    MachineStopsIdle = "E0331", OnRequest, "No container ran in it and nobody used its engine for the time that `cove machine set --idle` says, ten minutes unless told otherwise. That gives its memory back. The next use starts it.";

    /// The engine to migrate from cannot be used.
    MigrationSource = "E0401", OnRequest, "`cove migrate` reads another engine while that runs, and changes nothing there. The message names the sockets that were looked at: start what they belong to, or say where the socket is with `--socket PATH`. After a failure in the middle, the same command goes on where it was.";

    /// The control plane does not know who asks.
    NotSignedIn = "E0501", OnRequest, "People sign in with `cove-control login https://SERVER`, and programs send a personal token (`cove-control token create`). A session or token counts no more once it is over or was taken back, and when its person is suspended or deleted. Runners are known by their certificate, which `cove control join` gets them. On the server's own computer `cove-control` needs no login: who can use its state folder (`--home`) is its host.";
    /// Who asks may not do this.
    NotAllowed = "E0502", OnRequest, "Nobody may do anything that no role lets them. `cove-control authz explain` says which roles were looked at and why none of them does; somebody who may change roles can add a permission or a subject.";
    /// A resource cannot be as it was given.
    ResourceInvalid = "E0503", OnRequest, "The message names the place in the file, or the field, and what can be there. Nothing was changed: of several resources in one file either all are taken or none.";
    /// There is no such resource.
    ResourceNotFound = "E0504", OnRequest, "`cove-control get KIND` lists those that there are and that you may see.";
    /// Something else needs the resource.
    ResourceInUse = "E0505", OnRequest, "The message names what refers to it. Change or delete that first.";
    /// Nobody could administer the organization any more.
    LastAdministrator = "E0506", OnRequest, "At least one person who is not suspended must be able to change roles everywhere. Give somebody else such a role first.";
    /// A policy of the organization does not allow it.
    PolicyForbids = "E0507", OnRequest, "The message names the policy and its limit. `cove-control get policies` shows all of them; who may change them can widen one.";
    /// A request is larger than the server reads.
    TooLarge = "E0508", OnRequest, "A resource is at most one mebibyte, and a file that is applied at most ten. Secrets are small; files belong into a repository.";
    /// Too many requests came that nobody is signed in for.
    TooManyRequests = "E0509", ByItself, "What needs no proof of who sends it (to begin signing in, to let a computer in), and tokens, sessions and certificates that count for nothing, are taken two hundred at once from one address, and ten a second after that. It is over within a second once they stop coming: look for the program that goes on with a token which was taken back. Whoever is signed in goes on meanwhile. Behind a balancer all may seem to come from one address: `docs/control-plane.md` says what to do then.";
    /// A token does not let a computer in.
    EnrolmentRefused = "E0510", OnRequest, "A token serves one computer once, within a day. Somebody who may change runners makes a new one with `cove-control runner token NAME`.";
    /// A runner's certificate does not count.
    CertificateRefused = "E0511", OnRequest, "It ended, was taken back, or is of another server. Where this computer's clock is wrong, set it. Otherwise come in again: somebody who may change runners makes a token with `cove-control runner token NAME`, and `cove control join` on the runner takes it. Environments run on meanwhile, and nothing is lost.";
    /// The control plane cannot be reached.
    ControlPlaneUnreachable = "E0512", ByItself, "Everything on this computer works without it. Check the network and the address (`cove control status`), and whether the server runs.";
    /// Somebody cannot be let in.
    SignInRefused = "E0513", OnRequest, "The identity provider said who it is, or would not; the message says what is missing here. Nobody becomes a member by signing in unless the organization lists the domain of their mail address: an administrator declares a User with the address that the provider has verified (`cove-control apply`). What was begun in a browser must be finished in the same one, once, within ten minutes.";
    /// The identity provider cannot be used.
    IdentityProviderUnavailable = "E0514", OnRequest, "People cannot sign in meanwhile; sessions, tokens and runners go on. The message says why: the provider is away, or what `cove-control serve` was told of it (`--issuer`, `--client-id`, `COVE_CONTROL_CLIENT_SECRET`, `--issuer-authority`) does not fit.";
    /// The control plane's database was written by a newer version.
    DatabaseTooNew = "E0520", OnRequest, "Run the newer version of `cove-control`. To go back to an older version, restore a backup that it made.";
    /// The control plane's database is damaged.
    DatabaseDamaged = "E0521", OnRequest, "Nothing was changed. `cove-control restore` puts a backup in its place; runners bring it up to date from what they have.";
    /// The control plane's database cannot be reached, written or used.
    DatabaseUnavailable = "E0522", OnRequest, "The message says why: the server is away, its disk is full, or its address is wrong. What was being written is there as a whole or not at all. `cove-control` goes on by itself once the database answers; environments run on meanwhile.";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_explained() {
        let codes: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        for code in ProblemCode::ALL {
            assert!(code.explain().ends_with('.'), "{code} has no advice");
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""), "people and programs see one code");
        }
    }

    #[test]
    fn causes_are_listed_once_from_the_nearest() {
        let root = std::io::Error::other("disk on fire");
        let problem =
            Problem::new(ProblemCode::Internal, "could not write").caused_by(&root).caused_by(&root);
        assert_eq!(problem.causes, ["disk on fire"]);
    }
}
