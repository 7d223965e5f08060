//! The Dockerfile that installs features on an image.
//!
//! Each feature is one `RUN` that sees only its own folder, mounted for the time it runs. A layer is thus
//! known by the layers before it and the content of that folder: when one option changes, the features
//! before it come from the cache, and no layer holds the features' files.

use super::options;
use super::resolver::ResolvedFeature;
use super::script;
use camino::Utf8PathBuf;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The stage that holds the result, under the name that other tools use.
const STAGE: &str = "dev_containers_target_stage";
/// Where a feature's files are while it is installed; some features look for them there.
const FOLDER: &str = "/tmp/dev-container-features";
/// Where a folder of the build context is mounted.
const SOURCE: &str = "/tmp/build-features-src";
const INSTALLER: &str = "devcontainer-features-install.sh";

/// Who uses the container, by name or number as an image's configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallUsers<'a> {
    /// The user that the container runs as.
    pub container: &'a str,
    /// The user that tools run as.
    pub remote: &'a str,
    /// The user of the image, which it has again afterwards; empty for root.
    pub image: &'a str,
}

/// How a feature's folder gets into the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// Mounted from the build's own context, or from the named context. Needs BuildKit.
    Mounted {
        /// The named context; `None` for the build's own.
        context: Option<&'a str>,
    },
    /// Copied from the build's own context, for builders that cannot mount. Costs a layer more a feature.
    Copied,
}

/// What to build, beside the features' own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallPlan {
    /// The Dockerfile: one stage, which is also the last. It may be put behind another Dockerfile.
    pub dockerfile: String,
    /// The stage's name.
    pub stage: &'static str,
    /// For each feature, in the order of installation, the folder of the context for its files.
    pub folders: Vec<String>,
    /// Files to add to the context: they stand in the features' folders and replace what has their name.
    pub generated: BTreeMap<Utf8PathBuf, Vec<u8>>,
}

impl InstallPlan {
    /// Which feature a step of the Dockerfile installs, counted from 0 in their order; `step` is its instruction.
    pub fn folder_of_step(&self, step: &str) -> Option<usize> {
        self.folders.iter().position(|folder| step.contains(&format!("cd {FOLDER}/{folder} && ")))
    }
}

/// Plans the installation of `features`, in their order, on `base`: an image, or a stage of the Dockerfile
/// that the plan is put behind, whose escape character it then shares.
pub fn plan_install(
    base: &str,
    features: &[ResolvedFeature],
    users: InstallUsers<'_>,
    delivery: Delivery<'_>,
    escape: char,
) -> InstallPlan {
    let mut dockerfile = format!("FROM {} AS {STAGE}\nUSER root\n", word(base));
    let mut folders = Vec::new();
    let mut generated = BTreeMap::new();
    for (index, feature) in features.iter().enumerate() {
        let folder = format!("{:02}_{}", index + 1, plain(feature.reference.id()));
        for (name, value) in &feature.metadata.container_env {
            push(&mut dockerfile, format_args!("ENV {name}=\"{}\"\n", escaped(value, escape)));
        }
        push(&mut dockerfile, format_args!("{}", install(&folder, delivery, escape)));
        let inside = Utf8PathBuf::from(&folder);
        let installer = script::installer(feature, users.container, users.remote);
        generated.insert(inside.join(INSTALLER), installer.into_bytes());
        let environment = options::environment_file(&feature.options);
        generated.insert(inside.join("devcontainer-features.env"), environment.into_bytes());
        folders.push(folder);
    }
    let user = if users.image.is_empty() { "root" } else { users.image };
    push(&mut dockerfile, format_args!("USER {}\n", word(user)));
    InstallPlan { dockerfile, stage: STAGE, folders, generated }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string does not fail");
}

/// The files are copied out of the mount, which cannot be written to, since scripts write beside themselves.
fn install(folder: &str, delivery: Delivery<'_>, escape: char) -> String {
    let run = format!("chmod -R 0755 {FOLDER}/{folder} && cd {FOLDER}/{folder} && ./{INSTALLER}");
    let clean = format!("cd / && rm -rf {FOLDER}");
    match delivery {
        Delivery::Mounted { context } => {
            let from = context.map(|context| format!("from={context},")).unwrap_or_default();
            format!(
                "RUN --mount=type=bind,{from}source={folder},target={SOURCE}/{folder} {escape}\n    \
                 mkdir -p {FOLDER} && cp -R {SOURCE}/{folder} {FOLDER}/ {escape}\n    && {run} {escape}\n    && {clean}\n"
            )
        }
        Delivery::Copied => {
            format!("COPY {folder} {FOLDER}/{folder}\nRUN {run} {escape}\n    && {clean}\n")
        }
    }
}

/// An id as part of a path and of a mount's options.
fn plain(id: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    id.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}

/// A name that comes from an image or a configuration: a blank in it would begin another instruction's word.
fn word(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && !character.is_control()).collect()
}

/// A value between double quotes. `$` keeps its meaning, so that a feature can extend `PATH`.
fn escaped(value: &str, escape: char) -> String {
    value.replace(escape, &format!("{escape}{escape}")).replace('"', &format!("{escape}\""))
}

#[cfg(test)]
mod tests;
