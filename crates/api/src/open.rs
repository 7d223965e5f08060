//! What was asked to be opened: links of the scheme `cove`, and `.cove` files.
//!
//! Both come from strangers: a link from any page in a browser, a file from any repository. Reading them is pure, and
//! what was read is only ever *shown*: that something starts, a person says.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Deserialize;

use crate::{Place, Problem, ProblemCode, RepositoryUrl};

/// Longest link that is read, in bytes.
const LONGEST_LINK: usize = 8 << 10;

/// Most bytes of a `.cove` file.
pub const LONGEST_COVE_FILE: usize = 64 << 10;

/// Where the automounters of systems answer: looking at such a path makes this computer contact one that a link names.
const AUTOMOUNTED: [&str; 2] = ["/net", "/Network"];

/// What a link or a `.cove` file asks to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenLink {
    /// A folder of this computer. Absolute path, without `.` and `..` in a link's.
    Folder(Utf8PathBuf),
    /// A repository, to be cloned into the machine.
    Repository(RepositoryUrl),
}

/// Why a link is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{link}` cannot be opened: {why}")]
pub struct OpenLinkError {
    /// The link as it can be shown: one line of bearable length.
    link: String,
    /// What is wrong.
    why: String,
}

/// Why a `.cove` file is not opened, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CoveFileError {
    /// From 1.
    line: u32,
    /// From 1, in characters.
    column: u32,
    /// What is wrong.
    why: String,
}

impl OpenLink {
    /// Whether a text is meant as a link of ours.
    pub fn is_meant(text: &str) -> bool {
        text.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("cove"))
    }

    /// Reads `cove://open?path=…` or `cove://up?repo=…[&branch=…]`. Values are percent-encoded; a `+` is a plus.
    ///
    /// # Errors
    /// It is not one of them, says more than that, or names what no link may name.
    pub fn parse(link: &str) -> Result<Self, OpenLinkError> {
        Self::read(link).map_err(|why| OpenLinkError { link: shown(link), why })
    }

    fn read(link: &str) -> Result<Self, String> {
        if link.len() > LONGEST_LINK {
            return Err(format!("it is longer than {LONGEST_LINK} bytes"));
        }
        let rest = link.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("cove"));
        let (_, rest) = rest.ok_or("links of Cove begin with `cove://open?` or `cove://up?`")?;
        if rest.contains('#') {
            return Err("it has a fragment: a `#` in a value is written `%23`".to_owned());
        }
        let (action, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Browsers and shells add the slash of an empty path.
        match action.strip_suffix('/').unwrap_or(action) {
            "open" => {
                let [path] = values(query, ["path"])?;
                path.ok_or("it names no `path`").map_err(str::to_owned).and_then(|path| folder(&path))
            }
            "up" => {
                let [repository, branch] = values(query, ["repo", "branch"])?;
                let text = repository.ok_or("it names no `repo`")?;
                let url = RepositoryUrl::parse(&text).map_err(|error| error.to_string())?;
                with_branch(url, branch.as_deref()).map(Self::Repository)
            }
            other => Err(format!("there is no action `{}`: there are `open` and `up`", shown(other))),
        }
    }

    /// Reads a `.cove` file: a JSON object with either `path`, absolute or relative to the file's folder, or `repo`, with
    /// a `branch` or not.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_file(text: &[u8], folder: &Utf8Path) -> Result<Self, CoveFileError> {
        let wrong = |key: &str, why: String| CoveFileError::at_key(text, key, why);
        if text.len() > LONGEST_COVE_FILE {
            return Err(wrong("", format!("the file has more than {LONGEST_COVE_FILE} bytes")));
        }
        let file: File =
            serde_json::from_slice(text).map_err(|error| CoveFileError::from_json(text, &error))?;
        match file {
            File { path: Some(path), repo: None, branch: None } => {
                plain(&path).map_err(|why| wrong("path", why))?;
                if path.starts_with('~') {
                    return Err(wrong(
                        "path",
                        "`~` is known to shells alone: give the whole path".to_owned(),
                    ));
                }
                Ok(Self::Folder(folder.join(path)))
            }
            File { path: None, repo: Some(repository), branch } => {
                let url =
                    RepositoryUrl::parse(&repository).map_err(|error| wrong("repo", error.to_string()))?;
                with_branch(url, branch.as_deref()).map(Self::Repository).map_err(|why| wrong("branch", why))
            }
            File { path: Some(_), repo: Some(_), .. } => {
                Err(wrong("repo", "it has both `path` and `repo`: one of them is opened".to_owned()))
            }
            File { path: Some(_), branch: Some(_), .. } => {
                Err(wrong("branch", "`branch` goes with `repo`".to_owned()))
            }
            File { .. } => Err(wrong("", "it has neither `path` nor `repo`".to_owned())),
        }
    }
}

impl fmt::Display for OpenLink {
    /// As a link that is read the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "cove://open?path={}", encoded(path.as_str())),
            Self::Repository(repository) => {
                write!(f, "cove://up?repo={}", encoded(repository.url()))?;
                repository.branch().map_or(Ok(()), |branch| write!(f, "&branch={}", encoded(branch)))
            }
        }
    }
}

impl OpenLinkError {
    /// The error as every client shows it.
    pub fn problem(&self) -> Problem {
        Problem::new(ProblemCode::InvalidRequest, format!("the link {self}"))
            .with_hint("a link is `cove://open?path=FOLDER` or `cove://up?repo=URL&branch=NAME`")
    }
}

impl CoveFileError {
    /// The error as every client shows it.
    pub fn problem(&self, file: &Utf8Path) -> Problem {
        let name = file.file_name().unwrap_or(file.as_str());
        Problem::new(ProblemCode::InvalidRequest, format!("`{}` cannot be opened: {self}", shown(name)))
            .at(Place { file: file.to_string(), line: Some(self.line), column: Some(self.column) })
            .with_hint("a `.cove` file is `{ \"path\": \"FOLDER\" }` or `{ \"repo\": \"URL\", \"branch\": \"NAME\" }`")
    }

    fn from_json(text: &[u8], error: &serde_json::Error) -> Self {
        let said = error.to_string();
        // It ends with where, which is told apart from it here.
        let why = said.rsplit_once(" at line ").map_or(said.as_str(), |(why, _)| why);
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
        Self::at(text, before + error.column().saturating_sub(1), readable(why))
    }

    /// At the first key of this name, or the beginning. The object is flat, so a quoted word before a colon is a key.
    fn at_key(text: &[u8], key: &str, why: String) -> Self {
        let quoted = format!("\"{key}\"");
        let is_key = |at: &usize| {
            let rest = &text[*at..];
            rest.strip_prefix(quoted.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
        };
        Self::at(text, (0..text.len()).find(is_key).unwrap_or_default(), why)
    }

    fn at(text: &[u8], offset: usize, why: String) -> Self {
        let before = String::from_utf8_lossy(&text[..offset.min(text.len())]);
        let last = before.rsplit('\n').next().unwrap_or_default();
        let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        Self { line: number(before.matches('\n').count()), column: number(last.chars().count()), why }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: Option<String>,
    repo: Option<String>,
    branch: Option<String>,
}

/// The values of a query by their names; each at most once, and none of another name.
fn values<const COUNT: usize>(query: &str, names: [&str; COUNT]) -> Result<[Option<String>; COUNT], String> {
    let mut values = [const { None }; COUNT];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let at = names.iter().position(|known| *known == name);
        let at = at.ok_or_else(|| format!("it says `{}`, which means nothing", shown(name)))?;
        if values[at].replace(decoded(value)?).is_some() {
            return Err(format!("it says `{name}` twice"));
        }
    }
    Ok(values)
}

/// A folder that a link may name.
fn folder(path: &str) -> Result<OpenLink, String> {
    plain(path)?;
    if !path.starts_with('/') {
        return Err("its `path` is not absolute".to_owned());
    }
    if path.split('/').any(|part| part == "..") {
        return Err("its `path` has `..` in it: what is shown to a person is where it leads".to_owned());
    }
    let path: Utf8PathBuf = Utf8Path::new(path).components().collect();
    if AUTOMOUNTED.iter().any(|root| path.starts_with(root)) {
        return Err("its `path` may be on another computer".to_owned());
    }
    Ok(OpenLink::Folder(path))
}

fn with_branch(url: RepositoryUrl, branch: Option<&str>) -> Result<RepositoryUrl, String> {
    match branch {
        Some(_) if url.branch().is_some() => Err("it names two branches".to_owned()),
        Some(branch) => url.with_branch(branch).map_err(|error| error.to_string()),
        None => Ok(url),
    }
}

/// Nothing but what a person sees: neither control characters, nor those that turn the order of what follows.
fn plain(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("its `path` is empty".to_owned());
    }
    if path.chars().any(is_unseen) {
        return Err("its `path` has characters in it that are not seen".to_owned());
    }
    Ok(())
}

fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text of others in one line of bearable length.
fn shown(text: &str) -> String {
    let mut seen: String = readable(text).chars().take(201).collect();
    if let Some((end, _)) = seen.char_indices().nth(200) {
        seen.truncate(end);
        seen.push('…');
    }
    seen
}

fn readable(text: &str) -> String {
    text.chars().filter(|letter| !is_unseen(*letter)).take(2000).collect()
}

fn decoded(value: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a `%` in it is not followed by two hexadecimal digits".to_owned());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| "a value in it is not UTF-8".to_owned())
}

/// What stays as it is in a value of a link, beside letters and digits.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

fn encoded(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, PLAIN)
}

#[cfg(test)]
mod tests;
