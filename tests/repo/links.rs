//! Every relative link in a page of the project leads to a file, and to a heading where it names one.

use std::path::{Component, Path, PathBuf};

/// The targets of `[text](target)` and `![text](target)`, with their line numbers. Code is not looked into.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        // Pieces with an odd index stand between backticks.
        for outside in line.split('`').step_by(2) {
            let targets = outside.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets.map(|target| (number + 1, target)));
        }
    }
    found
}

/// The anchors that headings get: lower case, spaces as dashes, and nothing but letters, digits, `-` and `_`.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .map(|c| if c == ' ' { '-' } else { c })
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            .collect()
    };
    headings.map(anchor).collect()
}

/// Joins, and takes `..` away without looking at the disk.
fn resolve(page: &Path, target: &str) -> PathBuf {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// Why a link leads nowhere; `None` when it leads somewhere, or out of the project.
fn fault(page: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (target, anchor) =
        link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let file = if target.is_empty() { page.to_owned() } else { resolve(page, target) };
    if !target.is_empty() && !crate::root().join(&file).exists() {
        return Some(format!("there is no `{}`", file.display()));
    }
    let wanted = anchor?;
    let there = if target.is_empty() { Some(text.to_owned()) } else { crate::read(&file) };
    let known = anchors(&there.unwrap_or_default());
    (!known.iter().any(|anchor| anchor == wanted))
        .then(|| format!("`{}` has no heading `#{wanted}`", file.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    let pages = crate::tracked_files();
    // What a command should print is no page of this project: its links are right where the command runs.
    let is_page = |file: &&PathBuf| {
        file.extension().is_some_and(|extension| extension == "md")
            && !file.iter().any(|part| part == "golden")
    };
    for page in pages.iter().filter(is_page) {
        let text = crate::read(page).unwrap_or_default();
        for (line, link) in links(&text) {
            if let Some(fault) = fault(page, &text, link) {
                faults.push(format!("{}:{line}: {fault}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_leads_nowhere_is_found() {
    let page = Path::new("docs/page.md");
    let text = "# A `cove` page, again\n[a](../README.md) [b](none.md) `[c](code.md)`\n```\n[d](block.md)\n```\n[e](#there)";
    let targets: Vec<_> = links(text).into_iter().collect();
    assert_eq!(targets, [(2, "../README.md"), (2, "none.md"), (6, "#there")]);
    let leads = |link| fault(page, text, link).is_none();
    assert!(leads("../README.md") && leads("#a-cove-page-again") && leads("https://example.com/x"));
    assert!(!leads("none.md") && !leads("#there") && !leads("../README.md#no-such-heading"));
}
