//! What `runArgs` put into the configuration of a container: `commit` would keep it in the image.
//!
//! The container of a prebuild is made without it. Its variables are given to each process as it starts; labels and health
//! checks are nothing to hooks and tasks, and whoever begins from the image gets them from the same arguments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use api::{Environment, Problem, ProblemCode};
use camino::{Utf8Component, Utf8Path};
use devcontainer::{Config, Resolved};
use engine::{ContainerState, RunOption, run_options};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::FOR_PREBUILD_LABEL;
use crate::consent;
use crate::execute::not_agreed;
use crate::reconcile::Parts;

/// Longest file of variables that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The arguments that leave nothing in the image.
pub(crate) fn without_kept(run_args: &[String]) -> Vec<String> {
    let options = run_options(run_args).into_iter();
    options.filter(|option| !is_kept(option)).flat_map(|option| option.words).collect()
}

/// Whether the engine keeps the value in the container's configuration, where anything may be in it.
fn is_kept(option: &RunOption) -> bool {
    let name = option.name.as_str();
    let is_named = matches!(
        name,
        "-e" | "--env" | "--env-file" | "-l" | "--label" | "--label-file" | "--no-healthcheck"
    );
    is_named || name.starts_with("--health-")
}

/// The variables that the container of a prebuild would have if it were not for one.
///
/// # Errors
/// A file of variables cannot be read, or nobody agreed that it is.
pub(crate) fn variables_beside(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
    resolved: &Resolved,
    state: &ContainerState,
) -> Result<BTreeMap<String, String>, Problem> {
    if state.labels.get(FOR_PREBUILD_LABEL).is_none_or(String::is_empty) {
        return Ok(BTreeMap::new());
    }
    let mut variables = resolved.container_env.clone();
    variables.extend(variables_of(parts, environment, config)?);
    Ok(variables)
}

/// The variables of the arguments, by the rules of `docker`: those of files come first. One without a value would be that of
/// the `docker` that makes the container, and means nothing here.
///
/// # Errors
/// As [`variables_beside`].
pub(crate) fn variables_of(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
) -> Result<BTreeMap<String, String>, Problem> {
    let judge = parts.judge(environment);
    let (mut of_files, mut said) = (BTreeMap::new(), BTreeMap::new());
    for option in run_options(&config.run_args) {
        let Some(value) = &option.value else { continue };
        match option.name.as_str() {
            "-e" | "--env" => said.extend(value.split_once('=').map(owned)),
            "--env-file" => {
                // Judged again, on what is about to be read: a hook may have put a link in its place.
                let real = consent::file_of(&option, config, &judge)
                    .map_err(|withheld| not_agreed("the configuration would bring in", &withheld))?;
                let text = read(&real).map_err(|error| unreadable(value).caused_by(&error))?;
                of_files.extend(parse(&text).map_err(|line| {
                    unreadable(value).with_hint(format!("line {line} is no `NAME=VALUE`"))
                })?);
            }
            _ => {}
        }
    }
    of_files.extend(said);
    Ok(of_files)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn unreadable(file: &str) -> Problem {
    let title = format!("the variables of `--env-file {file}` in `runArgs` cannot be read");
    Problem::new(ProblemCode::PrebuildFailed, title)
}

/// Reads a small file whose path has no links in it.
fn read(real: &Utf8Path) -> io::Result<String> {
    let file = open_without_links(real)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.len() > LONGEST {
        return Err(io::Error::other(format!("it is no file of at most {LONGEST} bytes")));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens folder by folder, so that none can be swapped for a link meanwhile.
fn open_without_links(real: &Utf8Path) -> io::Result<File> {
    let here = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(CWD, "/", here | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = real.components().filter(|it| matches!(it, Utf8Component::Normal(_))).peekable();
    while let Some(name) = names.next() {
        let kind = if names.peek().is_some() { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
        at = openat(&at, name.as_str(), here | kind, Mode::empty())?;
    }
    Ok(File::from(at))
}

/// The variables of a file, line by line as `docker` reads them.
///
/// # Errors
/// The number of a line that is none.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(number + 1);
        }
        variables.extend(line.split_once('=').map(owned));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_an_image_would_keep_is_taken_out_however_it_is_written() {
        for (line, left) in [
            ("-e A=b --init", "--init"),
            ("-iteA=b -v /a:/b", "-i -t -v /a:/b"),
            ("--env A=b --env=C=d --env-file /f --env-file=/g --cap-add X", "--cap-add X"),
            ("-l a=b --label c=d --label-file=/f -la=b --privileged", "--privileged"),
            ("--health-cmd curl --health-interval=1s --no-healthcheck --dns d", "--dns d"),
            // A value that looks like one is none.
            ("--name -e --hostname x", "--name -e --hostname x"),
        ] {
            assert_eq!(without_kept(&words(line)).join(" "), left, "{line}");
        }
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let text = "\u{feff}A=1\r\n  B= two words  \n# C=3\n\nD\nE=x=y\nF=";
        let read = parse(text).unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B", " two words  "), ("E", "x=y"), ("F", "")]);
        assert_eq!((parse("A=1\nB C=2"), parse("=x")), (Err(2), Err(1)));
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap().canonicalize_utf8().unwrap();
        fs_err::create_dir(folder.join("real")).unwrap();
        fs_err::write(folder.join("real/env"), "A=1").unwrap();
        assert_eq!(read(&folder.join("real/env")).unwrap(), "A=1");
        std::os::unix::fs::symlink(folder.join("real"), folder.join("link")).unwrap();
        std::os::unix::fs::symlink(folder.join("real/env"), folder.join("real/env-link")).unwrap();
        for path in ["link/env", "real/env-link", "real", "none"] {
            assert!(read(&folder.join(path)).is_err(), "{path}");
        }
    }
}
