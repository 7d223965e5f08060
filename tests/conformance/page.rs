//! `docs/conformance.md`, written from the rows and what came of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Judged;
use crate::case::Row;
use crate::corpus;
use crate::verdict::Verdict;

/// Says to bring the page up to date instead of comparing it.
const UPDATE: &str = "COVE_UPDATE_DOCS";

/// The version of the reference whose answers are recorded.
const REFERENCE: &str = "0.89.0";

/// Folders of cases, and the headings of their tables.
const SECTIONS: &[(&str, &str)] = &[
    ("01-reading", "Finding and reading the file"),
    ("02-properties", "Properties of devcontainer.json"),
    ("03-variables", "Variables"),
    ("04-metadata", "Image metadata and merging"),
    ("05-features", "Features"),
    ("06-lifecycle", "Lifecycle"),
    ("07-compose", "Compose"),
    ("08-identity", "Identity, reuse and the run line"),
    ("09-dockerfile", "Dockerfiles"),
    ("10-more", "Secrets, dotfiles, prebuilds, templates, GPU"),
    ("11-command", "The `devcontainer` command"),
];

const HEAD: &str = "\
# Conformance

What Cove does with a Dev Container configuration, row by row, held against the
[specification](https://containers.dev/implementors/spec/) and against its reference implementation. This page is
written by the tests: `make conformance` runs every case and brings it up to date, and the tests fail where it is not.

- **pass**: every case of the row holds on a real Docker Engine, and gave what the reference gives.
- **deviation**: the row holds, and the reference does something else; the reason stands below the table.
- **not yet**: a case does not hold.

The cases are data in `tests/conformance/cases/`: files, steps, and what each step must give. What the reference
answers to the same steps is in `tests/conformance/records/`; `cargo xtask conformance --record` asks it again, and a
changed answer is a changed file. The reference is asked on the same engine and the same registry as Cove. Paths,
container ids and the registry's address are replaced by names before anything is compared, error messages are not
compared, and the reference is told to use the engine's own front end for Dockerfiles, since the tests have no network.
";

const CORPUS: &str = "
## Foreign configurations

Where a folder of configurations from public repositories is at hand (`COVE_CORPUS`), `make conformance` also compares
what both programs read from each of them: `read-configuration` as the file is, and `read-configuration
--include-merged-configuration` with `features` taken out, since the tests cannot reach the registries that most of
them name. No stand-in answers for the engine: every image that a configuration, a Dockerfile or a compose file names
is given to the test engine as another name of its base image, so that both programs inspect a real one, and a
Dockerfile that was not kept with its configuration becomes one of that image. A
configuration that the reference refuses must be refused by Cove, with a place in the file; the reverse may be, where
the configuration breaks the specification.
";

/// Writes the page, or says that it is out of date.
pub(crate) fn check(rows: &[Row], judged: &[Judged], strict: bool) {
    let known: BTreeSet<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    for row in rows {
        let section = row.id.split('/').next().unwrap();
        assert!(known.contains(section), "no heading for the folder `{section}`");
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let wanted = page(rows, judged);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else if strict {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, wanted, "docs/conformance.md is out of date; run `make conformance`");
    }
}

fn page(rows: &[Row], judged: &[Judged]) -> String {
    let mut page = HEAD.to_owned();
    line(&mut page, format_args!("\nThe recorded reference is version {REFERENCE}.\n"));
    summary(&mut page, rows, judged);
    for (section, title) in SECTIONS {
        let of_section = |row: &&(usize, &Row)| row.1.id.starts_with(&format!("{section}/"));
        let numbered: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
        let chosen: Vec<&(usize, &Row)> = numbered.iter().filter(of_section).collect();
        if chosen.is_empty() {
            continue;
        }
        line(&mut page, format_args!("\n## {title}\n"));
        line(&mut page, format_args!("| | What holds | Cases | |\n|---|---|--:|---|"));
        let mut reasons = Vec::new();
        for (at, row) in chosen {
            let verdicts: Vec<&Judged> = judged.iter().filter(|it| it.row == *at).collect();
            let result = result_of(&verdicts);
            let holds = row.holds.trim().replace('\n', " ");
            line(&mut page, format_args!("| {} | {holds} | {} | {result} |", row.property, row.cases.len()));
            for it in verdicts {
                if let Verdict::Deviation(why) = &it.verdict {
                    reasons.push((
                        row.property.as_str(),
                        row.cases[it.case].name.replace('-', " "),
                        why.trim(),
                    ));
                }
            }
        }
        if !reasons.is_empty() {
            line(&mut page, format_args!("\nDeviations:\n"));
        }
        for (property, case, why) in reasons {
            line(&mut page, format_args!("- {property}, {case}: {}", why.replace('\n', " ")));
        }
    }
    page.push_str(CORPUS);
    for known in corpus::explained() {
        line(&mut page, format_args!("\n- {}: {}", known.difference, known.why.trim().replace('\n', " ")));
    }
    page
}

fn summary(page: &mut String, rows: &[Row], judged: &[Judged]) {
    let results: Vec<&str> = (0..rows.len())
        .map(|at| result_of(&judged.iter().filter(|it| it.row == at).collect::<Vec<_>>()))
        .collect();
    let count = |name: &str| results.iter().filter(|it| **it == name).count();
    let cases: usize = rows.iter().map(|row| row.cases.len()).sum();
    line(
        page,
        format_args!(
            "{} rows with {cases} cases: {} pass, {} deviation, {} not yet.",
            rows.len(),
            count("pass"),
            count("deviation"),
            count("not yet")
        ),
    );
}

fn result_of(verdicts: &[&Judged]) -> &'static str {
    if verdicts.is_empty() || verdicts.iter().any(|it| matches!(it.verdict, Verdict::NotYet(_))) {
        "not yet"
    } else if verdicts.iter().any(|it| matches!(it.verdict, Verdict::Deviation(_))) {
        "deviation"
    } else {
        "pass"
    }
}

fn line(page: &mut String, text: std::fmt::Arguments) {
    writeln!(page, "{text}").expect("a String can always grow");
}
