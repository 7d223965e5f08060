//! What a person is told of a folder whose files are kept in a cloud.

use api::{Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use host::cloud::{InCloud, Provider};

use crate::paths::user_home;

/// Files that are named before the rest is only counted.
const NAMED: usize = 3;

/// Looks at the folder of an environment before anything of it is read.
///
/// The warning that is to be told, if any.
///
/// # Errors
/// The configuration, or the folder itself, is not on this computer: reading it would wait for the network, perhaps for
/// ever.
pub(crate) fn judge(folder: &Utf8Path, config: Option<&Utf8Path>) -> Result<Option<Problem>, Problem> {
    let home = user_home();
    let found = host::cloud::look(home.as_deref(), folder);
    found.map_or(Ok(None), |found| judge_found(folder, config, &found))
}

fn judge_found(
    folder: &Utf8Path,
    config: Option<&Utf8Path>,
    found: &InCloud,
) -> Result<Option<Problem>, Problem> {
    let config = config.map(|config| config.strip_prefix(folder).unwrap_or(config));
    let is_needed = |path: &&Utf8PathBuf| {
        let first = path.components().next().map(|part| part.as_str());
        first.is_none_or(|name| [".devcontainer", ".devcontainer.json"].contains(&name))
            || config.is_some_and(|config| config.starts_with(path))
    };
    let problem = of(folder, found);
    if found.elsewhere.iter().any(|path| is_needed(&path)) { Err(problem) } else { Ok(Some(problem)) }
}

fn of(folder: &Utf8Path, found: &InCloud) -> Problem {
    let cloud = found.provider.as_ref().map_or_else(|| "a cloud".to_owned(), ToString::to_string);
    let keep = format!("choose \"Keep Downloaded\" for `{folder}` in Finder, or move it out of {cloud}");
    if found.count == 0 {
        let title = format!("`{folder}` is in {cloud}, which may take its files off this computer");
        return Problem::new(ProblemCode::FilesElsewhere, title).with_hint(keep);
    }
    let title = if found.elsewhere.iter().any(|path| path.as_str().is_empty()) {
        format!("the folder `{folder}` is in {cloud} and not on this computer")
    } else {
        let named: Vec<String> = found.elsewhere.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
        let rest = found.count - named.len();
        let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        let (list, verb) = (named.join(", "), if found.count == 1 { "is" } else { "are" });
        format!("files of `{folder}` {verb} in {cloud} and not on this computer: {list}{more}")
    };
    let problem = Problem::new(ProblemCode::FilesElsewhere, title).with_hint(keep);
    // Folders like *Documents* are kept in iCloud by other means, of which this command knows nothing.
    if found.provider == Some(Provider::ICloudDrive) {
        problem.with_command("or fetch it once", format!("brctl download '{folder}'"))
    } else {
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "/Users/mia/web";

    fn judge(elsewhere: &[&str], config: Option<&str>) -> Result<Option<Problem>, Problem> {
        let elsewhere: Vec<Utf8PathBuf> = elsewhere.iter().map(Into::into).collect();
        let count = elsewhere.len();
        judge_found(FOLDER.into(), config.map(Into::into), &InCloud { provider: None, elsewhere, count })
    }

    #[test]
    fn what_is_read_first_must_be_here_and_the_rest_is_a_warning() {
        for needed in ["", ".devcontainer", ".devcontainer.json", ".devcontainer/a/devcontainer.json"] {
            assert_eq!(judge(&[needed], None).unwrap_err().code, ProblemCode::FilesElsewhere, "{needed}");
        }
        assert!(judge(&["src/main.rs"], None).unwrap().is_some());
        for config in ["dev/web.json", "/Users/mia/web/dev/web.json"] {
            assert!(judge(&["dev/web.json"], Some(config)).is_err());
            assert!(judge(&["dev"], Some(config)).is_err());
            assert!(judge(&["dev/other.json"], Some(config)).is_ok());
        }
    }

    #[test]
    fn it_is_told_what_is_elsewhere_and_what_helps() {
        let told = |provider: Option<Provider>, elsewhere: &[&str], count| {
            let elsewhere = elsewhere.iter().map(Into::into).collect();
            let problem = of(FOLDER.into(), &InCloud { provider, elsewhere, count });
            (problem.title, problem.hints.into_iter().filter_map(|hint| hint.command).collect::<Vec<_>>())
        };
        let none: Vec<String> = Vec::new();
        let title =
            "files of `/Users/mia/web` are in a cloud and not on this computer: `a`, `b`, `c` and 7 more";
        assert_eq!(told(None, &["a", "b", "c", "d"], 10), (title.to_owned(), none.clone()));
        let title = "the folder `/Users/mia/web` is in iCloud Drive and not on this computer";
        let command = "brctl download '/Users/mia/web'".to_owned();
        assert_eq!(told(Some(Provider::ICloudDrive), &[""], 1), (title.to_owned(), vec![command]));
        let title = "`/Users/mia/web` is in Dropbox, which may take its files off this computer";
        assert_eq!(told(Some(Provider::Other("Dropbox".to_owned())), &[], 0), (title.to_owned(), none));
    }
}
