//! The whole product on a real virtual machine: the programs as people run them, the guest image as it is built,
//! a real Docker Engine inside.
//!
//! All cases of an image share one state folder and one machine, one after the other, since a machine is the expensive
//! part; each makes its own folders and removes its environments. `cargo test -p tests --test vm -- NAME` runs those
//! whose name contains NAME. The programs are taken from the folder of this test's own build; `cargo build` first.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails, like any test")]
#![expect(clippy::print_stdout, reason = "a test program tells its results on standard output")]

mod arm64;
mod automations;
mod bad_input;
mod clones;
mod control;
mod cove;
mod daily;
mod docker;
mod files;
mod grants;
mod healing;
mod idle;
mod page;
mod ports;
mod rest;
mod rosetta;
mod specification;
mod ssh;

use std::path::{Path, PathBuf};
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
    ("servers_are_found_reached_and_named", ports::servers_are_found_reached_and_named),
    ("ssh_clients_work_in_an_environment_and_start_it", ssh::ssh_clients_work_in_an_environment_and_start_it),
    (
        "what_is_granted_is_used_from_inside_until_it_is_revoked",
        grants::what_is_granted_is_used_from_inside_until_it_is_revoked,
    ),
    ("docker_sees_the_host_s_files", docker::docker_sees_the_host_s_files),
    ("host_edits_reach_watchers", files::host_edits_reach_watchers),
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
    (
        "a_clone_survives_kills_and_its_work_is_not_lost",
        clones::a_clone_survives_kills_and_its_work_is_not_lost,
    ),
    (
        "git_works_in_a_worktree_and_in_two_parts_of_it",
        clones::git_works_in_a_worktree_and_in_two_parts_of_it,
    ),
    ("what_is_declared_runs_and_goes_again", control::what_is_declared_runs_and_goes_again),
    ("killing_the_command_line", healing::killing_the_command_line),
    ("killing_the_daemon", healing::killing_the_daemon),
    ("killing_the_engine", healing::killing_the_engine),
    ("killing_the_machine", healing::killing_the_machine),
    ("killing_the_shim_leaves_nothing_behind", healing::killing_the_shim_leaves_nothing_behind),
    ("a_paused_machine_goes_on_with_the_right_time", rest::a_paused_machine_goes_on_with_the_right_time),
    (
        "what_is_not_used_stops_and_starts_with_the_next_use",
        idle::what_is_not_used_stops_and_starts_with_the_next_use,
    ),
    (
        "the_machine_stops_when_nothing_runs_and_a_name_starts_all",
        idle::the_machine_stops_when_nothing_runs_and_a_name_starts_all,
    ),
    ("missing_and_damaged_parts", bad_input::missing_and_damaged_parts),
    ("the_example_answers", daily::the_example_answers),
    ("the_example_of_automations_heals", automations::the_example_of_automations_heals),
    (
        "the_page_leads_who_is_new_to_an_example_that_answers",
        page::the_page_leads_who_is_new_to_an_example_that_answers,
    ),
];

/// On the guest of Macs, which the daemon boots from its image like any other; translated on other computers.
const ARM64_CASES: &[Case] = &[
    ("arm64_runs_images_of_both_processors", arm64::arm64_runs_images_of_both_processors),
    ("arm64_shares_files_with_their_owners", arm64::arm64_shares_files_with_their_owners),
    ("arm64_follows_files", arm64::arm64_follows_files),
    ("arm64_publishes_ports", arm64::arm64_publishes_ports),
    ("arm64_tells_what_runs_foreign_programs", arm64::arm64_tells_what_runs_foreign_programs),
    ("arm64_tells_programs_what_rosetta_knows", arm64::arm64_tells_programs_what_rosetta_knows),
    ("arm64_uses_rosetta_only_if_it_works", rosetta::arm64_uses_rosetta_only_if_it_works),
    ("arm64_stops_in_order", arm64::arm64_stops_in_order),
];

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let choose = |cases: &'static [Case]| -> Vec<&Case> {
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
        cases.iter().filter(|(name, _)| is_wanted(name)).collect()
    };
    let machines: [(PathBuf, Vec<&Case>); 2] =
        [(cove::image_folder(), choose(CASES)), (cove::built_image("arm64"), choose(ARM64_CASES))];
    let chosen: usize = machines.iter().map(|(_, cases)| cases.len()).sum();
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in machines.iter().flat_map(|(_, cases)| cases) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    let mut left_out = CASES.len() + ARM64_CASES.len() - chosen;
    for (image, cases) in machines.iter().filter(|(_, cases)| !cases.is_empty()) {
        let missing = Cove::missing_parts(image);
        if missing.is_empty() {
            failed += run(image, cases);
            continue;
        }
        println!("the virtual machine cannot be tested here:\n  {}", missing.join("\n  "));
        if std::env::var_os("COVE_REQUIRE_VM").is_some() {
            failed += cases.len();
        } else {
            left_out += cases.len();
        }
    }
    let passed = CASES.len() + ARM64_CASES.len() - left_out - failed;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs cases on one machine of this image; how many failed.
fn run(image: &Path, cases: &[&Case]) -> usize {
    println!("\nrunning {} tests on one virtual machine of {}", cases.len(), image.display());
    let cove = Cove::new(image);
    let mut failed = 0;
    for (name, case) in cases {
        let begun = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&cove)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", begun.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed += 1;
            cove.print_logs();
        }
    }
    failed
}
