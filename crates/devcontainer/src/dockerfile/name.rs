//! Gives a stage a name, so that another build can begin where it ends.

use super::{Dockerfile, DockerfileError, text::continued};
use std::borrow::Cow;

/// A Dockerfile in which the stage that is wanted has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStage<'a> {
    /// The Dockerfile: as it was where the stage had a name, else with one added. The lines have the same
    /// numbers, so that what a builder says of them holds for the file.
    pub text: Cow<'a, str>,
    /// The name of the stage.
    pub name: String,
    /// The escape character of the file: what is put behind it has to use the same.
    pub escape: char,
}

/// Finds the stage to build, the last one without a `target`, and names it `wanted` if it has no name. Where
/// another stage is already called that, underscores are added.
///
/// # Errors
/// The Dockerfile cannot be understood, or has no such stage.
pub fn name_stage<'a>(
    text: &'a str,
    target: Option<&str>,
    wanted: &str,
) -> Result<NamedStage<'a>, DockerfileError> {
    let file = Dockerfile::parse(text)?;
    let stage = &file.stages[file.target_index(target)?];
    if let Some(name) = &stage.name {
        return Ok(NamedStage { text: Cow::Borrowed(text), name: name.clone(), escape: file.escape });
    }
    let mut name = wanted.to_owned();
    while file.find_stage(file.stages.len(), &name).is_some() {
        name.push('_');
    }
    let start: usize = text.split_inclusive('\n').take(stage.last_line - 1).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or_default();
    // The last line of a file may end as if another one followed.
    let kept = continued(line, file.escape).unwrap_or(line).trim_end();
    let end = start + kept.len();
    let text = Cow::Owned(format!("{} AS {name}{}", &text[..end], &text[end..]));
    Ok(NamedStage { text, name, escape: file.escape })
}
