//! What a configuration mounts of its folder, where that folder is a volume of the machine.
//!
//! The folder that is here is a copy of the configuration alone, and what else is in it goes with the next `up`. So a
//! mount of it, or of what is below it, is one of the volume or of a part of that; whoever words it.

use api::{Environment, Problem, ProblemCode, Source};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Config, ContainerSource, Mount, MountKind};
use engine::{RunOption, run_options};

use super::{Paths, volume_of};
use crate::consent::shortened;

/// Options of `docker build` that name no file or folder of this computer. All others could bring in, or write to, what
/// the machine sees of a home folder.
const BUILD_OPTIONS: [&str; 16] = [
    "--add-host",
    "--build-arg",
    "--cgroup-parent",
    "--force-rm",
    "--label",
    "--network",
    "--no-cache",
    "--no-cache-filter",
    "--platform",
    "--progress",
    "--pull",
    "--rm",
    "--shm-size",
    "--tag",
    "--target",
    "--ulimit",
];

/// Puts the volume in place of the folder in what a configuration mounts.
///
/// # Errors
/// It wants what a clone cannot have.
pub(crate) fn mount_volume(config: &mut Config, environment: &Environment) -> Result<(), Problem> {
    let Some(place) = Place::of(environment) else { return Ok(()) };
    match &config.container {
        ContainerSource::Compose(_) => {
            let title = "a clone cannot be brought up with `dockerComposeFile`: compose mounts a folder of this computer";
            return Err(Problem::new(ProblemCode::ConfigInvalid, title)
                .with_hint("clone the repository yourself, and run `cove up` in its folder"));
        }
        ContainerSource::Build(build) => judge_options(&build.options)?,
        ContainerSource::Image { .. } => {}
    }
    for mount in config.workspace_mount.iter_mut().chain(&mut config.properties.mounts) {
        place.move_in(mount)?;
    }
    let options = run_options(&std::mem::take(&mut config.run_args));
    for option in options {
        config.run_args.extend(place.option(option)?);
    }
    Ok(())
}

/// The same for what an image or a feature mounts.
///
/// # Errors
/// As there.
pub(crate) fn mount_volume_in(mounts: &mut [Mount], environment: &Environment) -> Result<(), Problem> {
    let Some(place) = Place::of(environment) else { return Ok(()) };
    mounts.iter_mut().try_for_each(|mount| place.move_in(mount))
}

/// The parts of the volume that are mounted by themselves, as folders below it.
pub(crate) fn parts_of(config: &Config, mounts: &[Mount], environment: &Environment) -> Vec<Utf8PathBuf> {
    let volume = volume_of(&environment.id);
    let options = run_options(&config.run_args);
    let of_options = options.iter().filter(|option| option.name == "--mount");
    let of_options = of_options.filter_map(|option| option.value.as_ref()?.parse::<Mount>().ok());
    let all = mounts.iter().chain(&config.workspace_mount).cloned().chain(of_options);
    let ours = all.filter(|mount| mount.kind == MountKind::Volume && mount.source.as_ref() == Some(&volume));
    let parts = ours.flat_map(|mount| mount.options).filter(|(name, _)| name == "volume-subpath");
    parts.filter_map(|(_, below)| Some(Utf8PathBuf::from(below?))).collect()
}

fn judge_options(options: &[String]) -> Result<(), Problem> {
    let is_odd = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        word.starts_with('-') && !BUILD_OPTIONS.contains(&name)
    };
    match options.iter().find(is_odd) {
        Some(option) => Err(refused(&format!(
            "`build.options` of a clone cannot have `{option}`, which may name a file of this computer"
        ))),
        None => Ok(()),
    }
}

fn refused(title: &str) -> Problem {
    Problem::new(ProblemCode::ConfigInvalid, title)
        .with_hint("clone the repository yourself, and run `cove up` in its folder, if it needs that")
}

fn elsewhere(target: &str) -> Problem {
    refused(&format!(
        "what is mounted at `{target}` would be beside the repository, and a clone has nothing there"
    ))
}

/// Where the sources of an environment seem to be, and where they are.
struct Place<'a> {
    folder: &'a Utf8Path,
    key: Utf8PathBuf,
    volume: String,
}

impl<'a> Place<'a> {
    fn of(environment: &'a Environment) -> Option<Self> {
        let Source::Clone { folder, .. } = &environment.spec.source else { return None };
        Some(Self { folder, key: Paths::of(folder).key, volume: volume_of(&environment.id) })
    }

    fn move_in(&self, mount: &mut Mount) -> Result<(), Problem> {
        let Some(source) = &mount.source else { return Ok(()) };
        if mount.kind != MountKind::Bind {
            // A driver can be told of a folder.
            return match mount
                .options
                .iter()
                .filter_map(|(_, value)| value.as_ref())
                .find(|it| self.is_named_in(it))
            {
                Some(_) => Err(elsewhere(&mount.target)),
                None => Ok(()),
            };
        }
        let source = shortened(Utf8Path::new(source));
        let Ok(below) = source.strip_prefix(self.folder) else {
            return if source.starts_with(&self.key) { Err(elsewhere(&mount.target)) } else { Ok(()) };
        };
        mount.kind = MountKind::Volume;
        mount.source = Some(self.volume.clone());
        mount.consistency = None;
        mount.options.clear();
        if !below.as_str().is_empty() {
            mount.options.push(("volume-subpath".to_owned(), Some(below.to_string())));
            // An empty folder stays empty, as one of this computer would.
            mount.options.push(("volume-nocopy".to_owned(), None));
        }
        Ok(())
    }

    fn is_named_in(&self, text: &str) -> bool {
        text.contains(self.key.as_str())
    }

    /// The words of an option of `docker create`.
    fn option(&self, option: RunOption) -> Result<Vec<String>, Problem> {
        let value = option.value.as_deref().unwrap_or_default();
        let mut mount = match option.name.as_str() {
            "-v" | "--volume" if self.is_named_in(value) => bound(value),
            // What cannot be read docker will refuse.
            "--mount" => value.parse::<Mount>().ok(),
            _ => None,
        };
        let Some(mount) = mount.as_mut() else { return Ok(option.words) };
        let before = mount.clone();
        self.move_in(mount)?;
        if *mount == before {
            return Ok(option.words);
        }
        Ok(vec!["--mount".to_owned(), mount.to_string()])
    }
}

/// The mount that `source:target:modes` stands for.
fn bound(value: &str) -> Option<Mount> {
    let (source, rest) = value.split_once(':')?;
    let (target, modes) = rest.split_once(':').unwrap_or((rest, ""));
    let read_only = modes.split(',').any(|mode| mode == "ro");
    Some(Mount { read_only, ..Mount::bind(source, target) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { folder: "/c/k/config/web".into(), key: "/c/k".into(), volume: "vol".to_owned() }
    }

    fn options(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let moved: Result<Vec<_>, _> = run_options(&words).into_iter().map(|it| place().option(it)).collect();
        moved.map(|words| words.concat()).map_err(|problem| problem.title)
    }

    #[test]
    fn what_is_below_the_folder_is_of_the_volume_in_whatever_words() {
        let part = "type=volume,source=vol,target=/data,volume-subpath=data,volume-nocopy";
        let read_only = "type=volume,source=vol,target=/data,readonly,volume-subpath=data,volume-nocopy";
        for (words, moved) in [
            (&["-v", "/c/k/config/web/data:/data"][..], &["--mount", part][..]),
            (&["-itv/c/k/config/web/./x/../data:/data"], &["-i", "-t", "--mount", part]),
            (&["--volume=/c/k/config/web/data/:/data:ro,cached"], &["--mount", read_only]),
            (&["--mount", "type=bind,src=/c/k/config/web/data,dst=/data"], &["--mount", part]),
            (&["-v", "/c/k/config/web:/all"], &["--mount", "type=volume,source=vol,target=/all"]),
            (&["-v", "/c/k/config/webber:/x"], &[]),
            (&["--mount", "type=bind,src=/c/k/config/web/..,dst=/up"], &[]),
            (
                &["--mount", "source=v,target=/x,volume-opt=o=bind,volume-opt=device=/c/k/config/web/data"],
                &[],
            ),
            (
                &["-v", "/srv/x:/x", "-v", "named:/n", "--init"],
                &["-v", "/srv/x:/x", "-v", "named:/n", "--init"],
            ),
        ] {
            match options(words) {
                Ok(said) => assert_eq!(said, moved, "{words:?}"),
                Err(title) => assert!(moved.is_empty() && title.contains("beside the repository"), "{title}"),
            }
        }
    }

    #[test]
    fn builds_of_a_clone_name_no_files_of_this_computer() {
        let judged = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            judge_options(&words).is_ok()
        };
        assert!(judged(&["--network", "host", "--build-arg=A=1", "--no-cache"]));
        for option in
            ["--build-context=x=/Users/me", "--secret", "--output=type=local,dest=/Users/me", "-f", "-o."]
        {
            assert!(!judged(&["--no-cache", option]), "{option}");
        }
    }
}
