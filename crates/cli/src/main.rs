//! The command line: reads arguments, calls the daemon, and shows what it says.
//!
//! It decides nothing about environments; everything shown comes from the daemon, as the types of crate `api`.
//! Results go to standard output, all else (progress, notes, problems) to standard error.

mod activity;
mod arguments;
mod attach;
mod command;
mod complete;
mod context;
mod docker_context;
mod drop_in;
mod editors;
mod failure;
mod follow;
mod output;
mod owner;
mod paint;
mod personal;
mod problem_text;
mod progress;
mod quantity;
mod select;
mod ssh;
mod table;
mod text;
mod whole_file;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::arguments::Arguments;
use crate::context::Context;
use crate::output::Output;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let (program, command) = (words.next(), words.next());
    if drop_in::is_called(program.as_ref()) {
        return drop_in::run(command.into_iter().chain(words));
    }
    if command.as_ref().is_some_and(|command| command == "devcontainer") {
        return drop_in::run(words);
    }
    CompleteEnv::with_factory(Arguments::command).bin("cove").complete();
    let arguments = Arguments::parse();
    let output = Output::new(arguments.global);
    let result = Context::new(output).and_then(|context| {
        let runtime = Context::runtime()?;
        let result = runtime.block_on(command::run(&context, arguments.command));
        // A thread may still wait for standard input; the process ends without it.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.status())
        }
    }
}
