//! `extends`: a configuration that is based on another file of its repository.
//!
//! This follows the open proposal (devcontainers/spec pull request 772, issue 22): the value is the relative
//! path of one JSON file in the same repository, which may itself extend another; files are merged by the
//! rules of image metadata, see [`combine`]; the result does not hold `extends`. A file without it is read
//! as ever. What the proposal leaves open is decided here:
//!
//! - "The same repository" is the repository around the workspace, or the workspace where there is none.
//! - A relative path means what it means in the file that says it, wherever the other file stands.
//! - Absolute paths, URLs and references to registries are refused.

mod combine;

use crate::decode::{Mistakes, Problem};
use crate::jsonc::{self, Field, Node, NodeKind, Position};
use crate::path::{join, relative};
use crate::resolve::ReadError;
use crate::sources::Sources;
use camino::{Utf8Path, Utf8PathBuf};

/// A configuration together with everything it extends.
pub(crate) struct Whole {
    /// Where its object begins.
    pub(crate) at: Position,
    pub(crate) fields: Vec<Field>,
    /// The files, in the order of [`Position::source`]: its own first.
    pub(crate) files: Vec<Utf8PathBuf>,
}

/// Where the files are that are read.
pub(crate) struct Origin<'a> {
    /// The configuration file, to which paths are relative.
    pub(crate) file: &'a Utf8Path,
    /// The file that holds its text, where that is another one.
    pub(crate) text_from: &'a Utf8Path,
    /// The folder that an extended file has to be in.
    pub(crate) root: &'a Utf8Path,
}

/// Reads a file and what it extends.
pub(crate) fn read_whole(sources: &dyn Sources, origin: &Origin<'_>) -> Result<Whole, ReadError> {
    let mut files = vec![origin.text_from.to_owned()];
    let mut layers = vec![read_layer(sources, origin.text_from, &files)?];
    let at = layers[0].at;
    while let Some(base) = layers.last_mut().and_then(|layer| take_extends(&mut layer.fields)) {
        let file = base_file(sources, &base, &files, origin.root).map_err(|problem| {
            let mut mistakes = Mistakes::default();
            mistakes.add(base.at, "extends", problem);
            mistakes.refuse(&files)
        })?;
        files.push(file.clone());
        layers.push(read_layer(sources, &file, &files)?);
    }
    let folder = |file: &Utf8Path| file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
    let mut fields = Vec::new();
    for (index, layer) in layers.into_iter().enumerate().rev() {
        let mut own = layer.fields;
        if index > 0 {
            rebase(&mut own, &folder(&files[index]), &folder(origin.file));
        }
        fields = combine::combine(fields, own);
    }
    Ok(Whole { at, fields, files })
}

struct Layer {
    at: Position,
    fields: Vec<Field>,
}

fn read_layer(sources: &dyn Sources, file: &Utf8Path, files: &[Utf8PathBuf]) -> Result<Layer, ReadError> {
    let bytes = sources.read(file)?.ok_or_else(|| ReadError::Gone { file: file.to_owned() })?;
    let source = u16::try_from(files.len() - 1).unwrap_or(u16::MAX);
    let node = jsonc::parse_source(&bytes, source)
        .map_err(|error| ReadError::Syntax { file: file.to_owned(), error })?;
    let at = node.at;
    match node.kind {
        NodeKind::Map(fields) => Ok(Layer { at, fields }),
        kind => {
            let mut mistakes = Mistakes::default();
            mistakes.unexpected_root(Node { at, kind });
            Err(mistakes.refuse(files))
        }
    }
}

/// Takes the property away; `null` is none.
fn take_extends(fields: &mut Vec<Field>) -> Option<Node> {
    let index = fields.iter().position(|field| field.name == "extends")?;
    Some(fields.remove(index).value).filter(|value| value.kind != NodeKind::Null)
}

fn base_file(
    sources: &dyn Sources,
    value: &Node,
    files: &[Utf8PathBuf],
    root: &Utf8Path,
) -> Result<Utf8PathBuf, Problem> {
    let own = files.last().map_or(Utf8Path::new("/"), Utf8PathBuf::as_path);
    let NodeKind::Text(base) = &value.kind else {
        return Err(Problem::NotLocal { base: value.to_value().to_string() });
    };
    let is_path = !base.is_empty() && !base.starts_with(['/', '~']) && !base.contains([':', '\\', '\0']);
    let path = join(own.parent().unwrap_or(root), base);
    if !is_path || !path.starts_with(root) {
        return Err(Problem::NotLocal { base: base.clone() });
    }
    if let Some(first) = files.iter().position(|file| *file == path) {
        let mut chain = files[first..].to_vec();
        chain.push(path);
        return Err(Problem::Cycle { chain });
    }
    if sources.exists(&path) { Ok(path) } else { Err(Problem::NoFile { path }) }
}

/// Rewrites the paths of a file in `from` so that they mean the same in a file in `to`.
fn rebase(fields: &mut [Field], from: &Utf8Path, to: &Utf8Path) {
    if from == to {
        return;
    }
    let moved = |path: &str| relative(to, &join(from, path));
    for field in fields {
        match (field.name.as_str(), &mut field.value.kind) {
            ("dockerFile" | "context" | "dockerComposeFile", kind) => rebase_texts(kind, &moved),
            ("build", NodeKind::Map(build)) => {
                let paths =
                    build.iter_mut().filter(|field| matches!(field.name.as_str(), "dockerfile" | "context"));
                paths.for_each(|field| rebase_texts(&mut field.value.kind, &moved));
            }
            ("features", NodeKind::Map(features)) => {
                for feature in features.iter_mut().filter(|feature| feature.name.starts_with('.')) {
                    let path = moved(&feature.name);
                    feature.name = if path.starts_with('.') { path } else { format!("./{path}") };
                }
            }
            _ => {}
        }
    }
}

/// Rewrites a path, or each of a list of paths. One that begins with a variable is left alone.
fn rebase_texts(kind: &mut NodeKind, moved: &dyn Fn(&str) -> String) {
    match kind {
        NodeKind::Text(path) if !path.starts_with(['/', '$']) => *path = moved(path),
        NodeKind::List(items) => items.iter_mut().for_each(|item| rebase_texts(&mut item.kind, moved)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
