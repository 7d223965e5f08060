//! Which environment a person means: by name, id, the beginning of either, or a folder.

use api::{Environment, Problem, ProblemCode};
use camino::Utf8Path;
use client::Client;

use crate::context::working_folder;
use crate::failure::Failure;

/// Likeness (Jaro-Winkler, 0 to 1) from which a name is offered instead of an unknown one.
const ALIKE: f64 = 0.8;
/// So many keys missed (one left out, added, wrong, or two swapped) are forgiven in any name, however short.
const SLIPS: usize = 1;

/// The environment that a text names; without a text, that of the working folder.
pub(crate) async fn environment(client: &Client, text: Option<&str>) -> Result<Environment, Failure> {
    let all = client.environments().await?;
    let folder = working_folder()?;
    choose(&all, text, &folder).cloned().map_err(Failure::from)
}

/// The environments that texts name, each once; without any, that of the working folder.
pub(crate) async fn environments(client: &Client, texts: &[String]) -> Result<Vec<Environment>, Failure> {
    if texts.is_empty() {
        return Ok(vec![environment(client, None).await?]);
    }
    let all = client.environments().await?;
    let folder = working_folder()?;
    let mut chosen: Vec<Environment> = Vec::new();
    for text in texts {
        let environment = choose(&all, Some(text), &folder)?;
        if chosen.iter().all(|earlier| earlier.id != environment.id) {
            chosen.push(environment.clone());
        }
    }
    Ok(chosen)
}

fn choose<'a>(
    all: &'a [Environment],
    text: Option<&str>,
    working_folder: &Utf8Path,
) -> Result<&'a Environment, Box<Problem>> {
    let Some(text) = text else { return of_this_folder(all, working_folder) };
    let exact = |environment: &&Environment| {
        environment.metadata.name.as_str() == text || environment.id.as_str() == text
    };
    if let Some(environment) = all.iter().find(exact) {
        return Ok(environment);
    }
    if text.starts_with('.') || text.contains('/') {
        return of_folder(all, &normal(&working_folder.join(text)), text);
    }
    let begins = |environment: &&Environment| {
        environment.metadata.name.as_str().starts_with(text) || environment.id.as_str().starts_with(text)
    };
    let begun: Vec<_> = all.iter().filter(begins).collect();
    match begun.as_slice() {
        [] => Err(Box::new(unknown(all, text))),
        [environment] => Ok(environment),
        several => Err(Box::new(ambiguous(&format!("`{text}` is the beginning of several names"), several))),
    }
}

/// The environment of the nearest folder, going up.
fn of_this_folder<'a>(all: &'a [Environment], folder: &Utf8Path) -> Result<&'a Environment, Box<Problem>> {
    for ancestor in folder.ancestors() {
        match in_folder(all, ancestor).as_slice() {
            [] => {}
            [environment] => return Ok(environment),
            several => {
                return Err(Box::new(ambiguous(&format!("the folder `{ancestor}` has several"), several)));
            }
        }
    }
    Err(Box::new(
        Problem::new(ProblemCode::EnvironmentNotFound, format!("the folder `{folder}` has no environment"))
            .with_command("make one", "cove up")
            .with_command("or name one of those there are", "cove ls"),
    ))
}

fn of_folder<'a>(
    all: &'a [Environment],
    folder: &Utf8Path,
    typed: &str,
) -> Result<&'a Environment, Box<Problem>> {
    match in_folder(all, folder).as_slice() {
        [] => Err(Box::new(
            Problem::new(
                ProblemCode::EnvironmentNotFound,
                format!("the folder `{folder}` has no environment"),
            )
            .with_command("make one", format!("cove up {typed}")),
        )),
        [environment] => Ok(environment),
        several => Err(Box::new(ambiguous(&format!("the folder `{folder}` has several"), several))),
    }
}

/// The environments that a folder means. One for a prebuild is of the same folder, and nobody's to work in: what is left in
/// it would be in the image.
fn in_folder<'a>(all: &'a [Environment], folder: &Utf8Path) -> Vec<&'a Environment> {
    let is_meant = |each: &&Environment| each.spec.prebuild.is_none() && each.spec.source.folder() == folder;
    all.iter().filter(is_meant).collect()
}

fn unknown(all: &[Environment], text: &str) -> Problem {
    let problem = Problem::new(ProblemCode::EnvironmentNotFound, format!("there is no environment `{text}`"));
    let nearest = all
        .iter()
        .map(|environment| environment.metadata.name.as_str())
        .map(|name| (strsim::jaro_winkler(name, text), name))
        .filter(|(likeness, name)| *likeness >= ALIKE || strsim::damerau_levenshtein(name, text) <= SLIPS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((_, name)) => problem.with_hint(format!("did you mean `{name}`?")),
        None => problem.with_command("see which there are", "cove ls"),
    }
}

fn ambiguous(title: &str, several: &[&Environment]) -> Problem {
    let names: Vec<_> = several.iter().map(|each| format!("`{}`", each.metadata.name)).collect();
    Problem::new(ProblemCode::EnvironmentNotFound, format!("{title}: {}", names.join(", ")))
        .with_hint("give a whole name")
}

/// A path without `.` and `..`; links are followed where the path exists, as the daemon did with the folder.
fn normal(path: &Utf8Path) -> camino::Utf8PathBuf {
    if let Ok(path) = path.canonicalize_utf8() {
        return path;
    }
    let mut out = camino::Utf8PathBuf::new();
    for component in path.components() {
        match component {
            camino::Utf8Component::ParentDir => {
                out.pop();
            }
            camino::Utf8Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str, id: &str, folder: &str) -> Environment {
        serde_json::from_value(serde_json::json!({
            "id": id,
            "metadata": {
                "name": name, "created_at": "2026-01-01T00:00:00Z", "generation": 1, "resource_version": 1
            },
            "spec": {
                "desired_phase": "running", "source": {"type": "folder", "path": folder}, "machine": "default"
            },
            "status": {},
        }))
        .unwrap()
    }

    fn name_of(text: Option<&str>, folder: &str) -> Result<String, String> {
        let all = [
            environment("web", "aa11", "/srv/web"),
            environment("web-api", "bb22", "/srv/web/api"),
            environment("webshop", "cc33", "/srv/shop"),
            environment("shop-two", "dd44", "/srv/shop"),
        ];
        match choose(&all, text, Utf8Path::new(folder)) {
            Ok(environment) => Ok(environment.metadata.name.to_string()),
            Err(problem) => Err([
                problem.title.clone(),
                problem.hints.iter().map(|hint| hint.text.clone()).collect::<Vec<_>>().join("; "),
            ]
            .join(" / ")),
        }
    }

    #[test]
    fn names_ids_beginnings_and_folders_are_understood() {
        for (text, name) in [
            ("web", "web"),
            ("web-", "web-api"),
            ("webs", "webshop"),
            ("bb22", "web-api"),
            ("cc", "webshop"),
            ("/srv/web", "web"),
            ("./api", "web-api"),
            ("..", "web"),
        ] {
            let folder = if text == ".." { "/srv/web/api" } else { "/srv/web" };
            assert_eq!(name_of(Some(text), folder), Ok(name.to_owned()), "{text}");
        }
        assert_eq!(name_of(None, "/srv/web/api/src"), Ok("web-api".to_owned()), "the nearest folder above");
        assert_eq!(name_of(None, "/srv/web/src"), Ok("web".to_owned()));
    }

    #[test]
    fn a_folder_never_means_what_its_prebuild_is_made_in() {
        let for_prebuild = |name: &str, id: &str, folder: &str| {
            let mut made = environment(name, id, folder);
            made.spec.prebuild = Some(api::PrebuildWish::default());
            made
        };
        let all = [
            environment("web", "aa11", "/srv/web"),
            for_prebuild("web-prebuild", "bb22", "/srv/web"),
            for_prebuild("api-prebuild", "cc33", "/srv/web/api"),
        ];
        let chosen = |text: Option<&str>, folder: &str| {
            let chosen = choose(&all, text, Utf8Path::new(folder));
            chosen.map(|it| it.metadata.name.to_string()).map_err(|problem| problem.title)
        };
        assert_eq!(chosen(None, "/srv/web/src"), Ok("web".to_owned()));
        assert_eq!(chosen(Some("/srv/web"), "/"), Ok("web".to_owned()));
        assert_eq!(chosen(None, "/srv/web/api"), Ok("web".to_owned()), "the nearest that is meant");
        let none = Err("the folder `/srv/web/api` has no environment".to_owned());
        assert_eq!(chosen(Some("./api"), "/srv/web"), none);
        // Named, it is meant: to look at why it failed.
        assert_eq!(chosen(Some("web-prebuild"), "/srv/web"), Ok("web-prebuild".to_owned()));
        assert_eq!(chosen(Some("bb22"), "/srv/web"), Ok("web-prebuild".to_owned()));
    }

    #[test]
    fn what_is_not_clear_is_said() {
        insta::assert_snapshot!(name_of(Some("wep-api"), "/").unwrap_err(), @"there is no environment `wep-api` / did you mean `web-api`?");
        insta::assert_snapshot!(name_of(Some("zebra"), "/").unwrap_err(), @"there is no environment `zebra` / see which there are");
        insta::assert_snapshot!(name_of(Some("we"), "/").unwrap_err(), @"`we` is the beginning of several names: `web`, `web-api`, `webshop` / give a whole name");
        insta::assert_snapshot!(name_of(None, "/srv/shop").unwrap_err(), @"the folder `/srv/shop` has several: `webshop`, `shop-two` / give a whole name");
        insta::assert_snapshot!(name_of(None, "/tmp").unwrap_err(), @"the folder `/tmp` has no environment / make one; or name one of those there are");
        insta::assert_snapshot!(name_of(Some("./none"), "/srv").unwrap_err(), @"the folder `/srv/none` has no environment / make one");
    }
}
