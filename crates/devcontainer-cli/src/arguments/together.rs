//! Options that exclude each other or need one another, in the reference's sentences where it has them: scripts look for
//! them.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// Two options, one of which is refused, and how the refusal is worded.
struct Rule {
    one: &'static str,
    other: &'static str,
    holds: fn(one: bool, other: bool) -> bool,
    words: fn(one: &str, other: &str) -> String,
}

const RULES: [Rule; 12] = [
    apart("no-lockfile", "frozen-lockfile"),
    apart("no-lockfile", "experimental-frozen-lockfile"),
    apart("no-lockfile", "experimental-lockfile"),
    apart("all", "container-id"),
    apart("all", "id-label"),
    apart("all", "workspace-folder"),
    needs("terminal-rows", "terminal-columns"),
    needs("terminal-columns", "terminal-rows"),
    Rule {
        one: "target-version",
        other: "feature",
        holds: |one, other| one == other,
        words: |one, other| format!("The '--{one}' and '--{other}' flag must be used together."),
    },
    not_combined("global-scenarios-only", "features"),
    not_combined("skip-scenarios", "global-scenarios-only"),
    not_combined("filter", "skip-scenarios"),
];

const fn apart(one: &'static str, other: &'static str) -> Rule {
    Rule {
        one,
        other,
        holds: |one, other| !(one && other),
        words: |one, other| format!("--{one} and --{other} are mutually exclusive."),
    }
}

const fn needs(one: &'static str, other: &'static str) -> Rule {
    Rule {
        one,
        other,
        holds: |one, other| !one || other,
        words: |one, other| format!("Implications failed:\n {one} -> {other}"),
    }
}

const fn not_combined(one: &'static str, other: &'static str) -> Rule {
    Rule { words: |one, other| format!("Cannot combine --{one} and --{other}"), ..apart(one, other) }
}

/// Refuses options that do not go together.
pub(super) fn check(grammar: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let (grammar, matches) = innermost(grammar, matches);
    let has = |option: &str| grammar.get_arguments().any(|argument| argument.get_long() == Some(option));
    let is_given =
        |option: &str| matches.value_source(&option.replace('-', "_")) == Some(ValueSource::CommandLine);
    let broken = RULES.iter().find(|Rule { one, other, holds, .. }| {
        has(one) && has(other) && !holds(is_given(one), is_given(other))
    });
    match broken {
        Some(rule) => Err(grammar.error(ErrorKind::ArgumentConflict, (rule.words)(rule.one, rule.other))),
        None => Ok(()),
    }
}

/// The command that was called, and what it was given.
fn innermost<'a>(grammar: &'a mut Command, matches: &'a ArgMatches) -> (&'a mut Command, &'a ArgMatches) {
    match matches.subcommand() {
        Some((name, inner)) => {
            let called = grammar.find_subcommand_mut(name).expect("what was matched is in the grammar");
            innermost(called, inner)
        }
        None => (grammar, matches),
    }
}

/// Says of an option that is missing what the reference says of it.
pub(super) fn reworded(error: clap::Error) -> clap::Error {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return error };
    let names: Option<Vec<&str>> =
        missing.iter().map(|one| one.strip_prefix("--")?.split(' ').next()).collect();
    let Some(names) = names.filter(|_| error.kind() == ErrorKind::MissingRequiredArgument) else {
        return error;
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let words = format!("Missing required argument{plural}: {}\n\n{usage}\n", names.join(", "));
    clap::Error::raw(ErrorKind::MissingRequiredArgument, words)
}
