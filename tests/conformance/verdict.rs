//! Whether a case holds, given what its steps gave and what the reference gave.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::{Case, Row, Step};
use crate::compare::{differences, lacks};
use crate::folder;
use crate::run::Answer;

/// The answers of the reference to the cases of one row.
type Records = BTreeMap<String, Vec<Answer>>;

/// What came of a case.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// As it must be, and as the reference has it where it was asked.
    Pass,
    /// As it must be, and otherwise than the reference.
    Deviation(String),
    /// Not as it must be.
    NotYet(Vec<String>),
}

/// Judges what our program gave.
pub(crate) fn judge(row: &Row, case: &Case, answers: &[Answer]) -> Verdict {
    let mut faults: Vec<String> = Vec::new();
    for (at, (step, answer)) in case.steps.iter().zip(answers).enumerate() {
        faults.extend(check(step, answer).into_iter().map(|fault| format!("step {}: {fault}", at + 1)));
    }
    if !faults.is_empty() {
        return Verdict::NotYet(faults);
    }
    if case.no_reference.is_some() {
        return Verdict::Pass;
    }
    let records = read(row);
    let Some(record) = records.get(&case.name).filter(|record| record.len() == answers.len()) else {
        return Verdict::NotYet(vec!["the reference's answer is not recorded".to_owned()]);
    };
    let mut different = Vec::new();
    for (at, ((step, theirs), ours)) in case.steps.iter().zip(record).zip(answers).enumerate() {
        different
            .extend(compare(step, theirs, ours).into_iter().map(|fault| format!("step {}: {fault}", at + 1)));
    }
    match &case.deviation {
        None if different.is_empty() => Verdict::Pass,
        Some(why) if !different.is_empty() => Verdict::Deviation(why.clone()),
        Some(_) => Verdict::NotYet(vec!["it says that Cove deviates, which it does not".to_owned()]),
        None => Verdict::NotYet(different),
    }
}

/// Where the reference does not give what a case expects, though the case names no deviation: then it is the case that
/// is wrong. What is said in words is ours alone.
pub(crate) fn doubts(case: &Case, answers: &[Answer]) -> Vec<String> {
    if case.deviation.is_some() || case.no_reference.is_some() {
        return Vec::new();
    }
    let faults = |step, answer| check(step, answer).into_iter().filter(|fault| !fault.starts_with(SILENT));
    let steps = case.steps.iter().zip(answers).enumerate();
    steps
        .flat_map(|(at, (step, answer))| faults(step, answer).map(move |it| format!("step {}: {it}", at + 1)))
        .collect()
}

/// How a fault begins that is about words.
const SILENT: &str = "does not say";

/// What an answer lacks of what the step must give.
fn check(step: &Step, answer: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    let exit = step.exit.unwrap_or(0);
    if answer.exit != exit {
        let said: Vec<&str> = answer.said.trim().lines().rev().take(4).collect();
        let said: Vec<&str> = said.into_iter().rev().collect();
        faults.push(format!("ended with {} instead of {exit}: {}", answer.exit, said.join(" | ")));
    }
    if let Some(out) = &step.out {
        let wanted: Value = serde_json::from_str(out).expect("checked when the case was read");
        faults.extend(lacks(&wanted, &answer.out));
    }
    if let Some(text) = &step.text
        && answer.out != json!(text.trim())
    {
        faults.push(format!("gave {}, not {text:?}", answer.out));
    }
    if let Some(inspect) = &step.inspect {
        faults.extend(lacks(&json!(inspect), &answer.out));
    }
    for words in step.says.iter().filter(|words| !answer.said.contains(words.as_str())) {
        faults.push(format!("{SILENT} `{words}`: {}", answer.said.trim()));
    }
    for words in &step.never_says {
        if answer.said.contains(words.as_str()) || answer.out.to_string().contains(words.as_str()) {
            faults.push(format!("says `{words}`"));
        }
    }
    faults
}

fn compare(step: &Step, theirs: &Answer, ours: &Answer) -> Vec<String> {
    if step.compare.as_ref().is_some_and(Vec::is_empty) {
        return Vec::new();
    }
    let mut different = Vec::new();
    if theirs.exit != ours.exit {
        different.push(format!("the reference ended with {}, Cove with {}", theirs.exit, ours.exit));
    }
    for pointer in step.compare.iter().flatten() {
        let of = |answer: &Answer| answer.out.pointer(pointer).cloned().unwrap_or_default();
        different.extend(differences(&of(theirs), &of(ours)).into_iter().map(|it| format!("{pointer}{it}")));
    }
    if step.compare.is_none() {
        different.extend(differences(&theirs.out, &ours.out));
    }
    different
}

fn file(row: &Row) -> std::path::PathBuf {
    folder("records").join(format!("{}.json", row.id))
}

fn read(row: &Row) -> Records {
    let Ok(text) = std::fs::read_to_string(file(row)) else { return Records::new() };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file(row).display()))
}

/// Writes what the reference gave. Cases that were not asked now keep what they have; those that are gone go.
pub(crate) fn write_records(rows: &[Row], answers: Vec<(usize, usize, Vec<Answer>)>) {
    let mut records: Vec<Records> = rows.iter().map(read).collect();
    for (row, case, mut given) in answers {
        // The order of keys says nothing, and would be a difference for whoever reads the change.
        for answer in &mut given {
            answer.out.sort_all_objects();
        }
        records[row].insert(rows[row].cases[case].name.clone(), given);
    }
    for (row, mut records) in rows.iter().zip(records) {
        records
            .retain(|name, _| row.cases.iter().any(|case| case.name == *name && case.no_reference.is_none()));
        let file = file(row);
        if records.is_empty() {
            let _ = std::fs::remove_file(file);
            continue;
        }
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = serde_json::to_string_pretty(&records).unwrap();
        std::fs::write(file, format!("{text}\n")).unwrap();
    }
}
