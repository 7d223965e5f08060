//! Cove held against the Dev Container specification and its reference implementation, behaviour by behaviour.
//!
//! `cases/<section>/<row>.toml` is one row of `docs/conformance.md`: what holds, and cases that show it. A case is
//! data: files, steps, what each step must give. Cove's drop-in `devcontainer` runs every case on a real engine; what
//! the reference answered to the same steps is in `records/`, and a difference from it is a failure unless the case
//! says why it is right. `cargo xtask conformance --record` asks the reference again.
//!
//! Environment: `COVE_CONFORMANCE_ONLY=TEXT` runs the cases whose path holds TEXT (or one of several, parted by
//! commas), `COVE_CONFORMANCE_RECORD=1` records with `DEVCONTAINER_REFERENCE`, `COVE_CORPUS=DIR` compares both programs
//! over foreign configurations, and `COVE_UPDATE_DOCS=1` writes the page. `COVE_BENCH=DIR` compares times and writes
//! them there, `COVE_PROGRAM` is the program to run instead of the one that was built beside this test.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]
#![expect(clippy::print_stdout, reason = "a test tells on standard output what does not hold")]

mod bench;
mod case;
mod compare;
mod corpus;
mod mutations;
mod page;
mod publish;
mod run;
mod verdict;
mod world;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use case::Row;
use run::Answer;
use verdict::Verdict;
use world::{Program, World};

/// Whether every row must hold. A row that does not is then a failure; before, it is only shown as `not yet`.
const COMPLETE: bool = true;

/// How many cases run at once.
const AT_ONCE: usize = 2;

/// A case's place and what came of it.
pub(crate) struct Judged {
    row: usize,
    case: usize,
    verdict: Verdict,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(name)
}

fn wanted(row: &Row, case: &case::Case) -> bool {
    std::env::var("COVE_CONFORMANCE_ONLY")
        .map_or(true, |texts| texts.split(',').any(|text| format!("{}/{}", row.id, case.name).contains(text)))
}

/// Runs every wanted case of every row with a few threads and hands each to `judge`.
fn each_case(
    world: &World,
    rows: &[Row],
    program: Program,
    judge: &(dyn Fn(usize, usize, Vec<Answer>) + Sync),
) {
    let queue: VecDeque<(usize, usize)> = rows
        .iter()
        .enumerate()
        .flat_map(|(at, row)| (0..row.cases.len()).map(move |case| (at, case)))
        .filter(|(row, case)| wanted(&rows[*row], &rows[*row].cases[*case]))
        .collect();
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some((row, case)) = next else { break };
                    judge(row, case, run::run(world, &rows[row], &rows[row].cases[case], program));
                }
            });
        }
    });
}

#[test]
fn the_rows_hold() {
    let rows = case::read_rows(&folder("cases"));
    assert!(!rows.is_empty());
    if std::env::var_os("COVE_CONFORMANCE_RECORD").is_some() {
        return record(&rows);
    }
    let Some(world) = World::start() else { return };
    let judged = Mutex::new(Vec::new());
    each_case(&world, &rows, Program::Ours, &|row, case, answers| {
        let verdict = verdict::judge(&rows[row], &rows[row].cases[case], &answers);
        if let Verdict::NotYet(reasons) = &verdict {
            println!("{}/{}:\n    {}", rows[row].id, rows[row].cases[case].name, reasons.join("\n    "));
        }
        judged.lock().unwrap().push(Judged { row, case, verdict });
    });
    let mut judged = judged.into_inner().unwrap();
    judged.sort_by_key(|it| (it.row, it.case));
    let failed = judged.iter().filter(|it| matches!(it.verdict, Verdict::NotYet(_))).count();
    println!("{} cases, {failed} do not hold", judged.len());
    if std::env::var_os("COVE_CONFORMANCE_ONLY").is_none() {
        page::check(&rows, &judged, COMPLETE);
    }
    assert!(!COMPLETE || failed == 0, "{failed} of {} cases do not hold", judged.len());
}

/// Asks the reference and writes what it answers.
fn record(rows: &[Row]) {
    let world = World::start().expect("recording needs an engine and a registry");
    assert!(world.has_reference(), "recording needs DEVCONTAINER_REFERENCE, the reference's program");
    let answers = Mutex::new(Vec::new());
    let doubtful = Mutex::new(0);
    each_case(&world, rows, Program::Reference, &|row, case, given| {
        let doubts = verdict::doubts(&rows[row].cases[case], &given);
        if !doubts.is_empty() {
            println!("{}/{}:\n    {}", rows[row].id, rows[row].cases[case].name, doubts.join("\n    "));
            *doubtful.lock().unwrap() += 1;
        }
        answers.lock().unwrap().push((row, case, given));
    });
    verdict::write_records(rows, answers.into_inner().unwrap());
    let doubtful = doubtful.into_inner().unwrap();
    assert_eq!(doubtful, 0, "cases expect what the reference does not give, and name no deviation");
}
