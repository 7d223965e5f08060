//! The whole product on a real virtual machine: the programs as people run them, the guest image as it is built,
//! a real Docker Engine inside.
//!
//! All cases share one state folder and one machine, one after the other, since a machine is the expensive part;
//! each makes its own folders and removes its environments. `cargo test -p tests --test vm -- NAME` runs those whose
//! name contains NAME. The programs are taken from the folder of this test's own build; `cargo build` first.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails, like any test")]
#![expect(clippy::print_stdout, reason = "a test program tells its results on standard output")]

mod bad_input;
mod cove;
mod daily;
mod docker;
mod healing;
mod specification;

use std::process::ExitCode;
use std::time::Instant;

use cove::Cove;

/// A case, and its name.
type Case = (&'static str, fn(&Cove));

const CASES: &[Case] = &[
    ("a_folder_without_configuration_comes_up", daily::a_folder_without_configuration_comes_up),
    ("files_made_inside_belong_to_the_caller", daily::files_made_inside_belong_to_the_caller),
    ("exec_hands_over_status_input_and_output", daily::exec_hands_over_status_input_and_output),
    ("hooks_run_in_order_and_once", daily::hooks_run_in_order_and_once),
    ("a_dockerfile_with_arguments_and_its_own_user", daily::a_dockerfile_with_arguments_and_its_own_user),
    (
        "the_host_s_certificates_reach_builds_and_containers",
        daily::the_host_s_certificates_reach_builds_and_containers,
    ),
    ("features_are_installed_with_all_they_bring", specification::features_are_installed_with_all_they_bring),
    ("the_host_is_touched_only_with_consent", specification::the_host_is_touched_only_with_consent),
    ("secrets_reach_hooks_and_nothing_else", specification::secrets_reach_hooks_and_nothing_else),
    (
        "the_drop_in_and_cove_find_each_other_s_containers",
        specification::the_drop_in_and_cove_find_each_other_s_containers,
    ),
    ("docker_sees_the_host_s_files", docker::docker_sees_the_host_s_files),
    ("published_ports_answer_on_the_host", docker::published_ports_answer_on_the_host),
    ("containers_find_the_host", docker::containers_find_the_host),
    ("the_docker_context_comes_and_goes", docker::the_docker_context_comes_and_goes),
    (
        "a_broken_configuration_is_named_with_its_place",
        bad_input::a_broken_configuration_is_named_with_its_place,
    ),
    ("an_image_that_does_not_exist", bad_input::an_image_that_does_not_exist),
    ("a_dockerfile_that_fails", bad_input::a_dockerfile_that_fails),
    ("a_hook_that_fails_is_run_again", bad_input::a_hook_that_fails_is_run_again),
    ("an_unknown_service", bad_input::an_unknown_service),
    ("a_folder_that_is_not_shared", bad_input::a_folder_that_is_not_shared),
    ("a_port_that_is_taken", bad_input::a_port_that_is_taken),
    ("a_mistyped_name", bad_input::a_mistyped_name),
    ("no_space_left_in_the_machine", bad_input::no_space_left_in_the_machine),
    ("killing_the_command_line", healing::killing_the_command_line),
    ("killing_the_daemon", healing::killing_the_daemon),
    ("killing_the_engine", healing::killing_the_engine),
    ("killing_the_machine", healing::killing_the_machine),
    ("killing_the_shim_leaves_nothing_behind", healing::killing_the_shim_leaves_nothing_behind),
    ("missing_and_damaged_parts", bad_input::missing_and_damaged_parts),
    ("the_example_answers", daily::the_example_answers),
];

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| name.contains(word)))
        .collect();
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        println!(
            "\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; {} filtered out",
            CASES.len()
        );
        return ExitCode::SUCCESS;
    }
    let missing = Cove::missing_parts();
    if !missing.is_empty() {
        println!("the virtual machine cannot be tested here:\n  {}", missing.join("\n  "));
        return if std::env::var_os("COVE_REQUIRE_VM").is_some() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    println!("\nrunning {} tests on one virtual machine", chosen.len());
    let cove = Cove::new();
    let mut failed = Vec::new();
    for (name, case) in &chosen {
        let begun = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&cove)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", begun.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(*name);
            cove.print_logs();
        }
    }
    drop(cove);
    let (passed, word) = (chosen.len() - failed.len(), if failed.is_empty() { "ok" } else { "FAILED" });
    let left_out = CASES.len() - chosen.len();
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {left_out} filtered out",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
