//! `RESULTS.md` for people, `results.json` for programs.

use std::fmt::Write as _;
use std::process::Command;

use camino::Utf8Path;
use serde::Serialize;
use vmm::Accelerator;

use super::boot::{Boot, Start, System, spread};
use super::{BenchError, Hardware};
use crate::output::megabytes;
use crate::steps::capture;

/// What was measured, and where.
#[derive(Serialize)]
struct Results<'a> {
    date: &'a str,
    qemu: &'a str,
    accelerator: Accelerator,
    cpus: u32,
    memory_mib: u64,
    debian: &'a [(String, String)],
    boots: &'a [Boot],
}

/// Writes both files.
pub(crate) fn write(
    out: &Utf8Path,
    hardware: &Hardware,
    accelerator: Accelerator,
    debian: &[(String, String)],
    boots: &[Boot],
) -> Result<(), BenchError> {
    fs_err::create_dir_all(out)?;
    let date = capture(Command::new("date").args(["-u", "+%F"]))?;
    let program = vmm::qemu::find(hardware.architecture).map_err(super::cove::CoveError::from)?;
    let version = capture(Command::new(program).arg("--version"))?;
    let results = Results {
        date: date.trim(),
        qemu: version.lines().next().unwrap_or_default().trim(),
        accelerator,
        cpus: hardware.cpus,
        memory_mib: hardware.memory_mib,
        debian,
        boots,
    };
    let json = serde_json::to_string_pretty(&results).expect("the results are plain data");
    fs_err::write(out.join("results.json"), json + "\n")?;
    let file = out.join("RESULTS.md");
    let old = fs_err::read_to_string(&file).unwrap_or_default();
    let kept = old.find(DROP_IN).map_or("", |start| &old[start..]);
    let joint = if kept.is_empty() { "" } else { "\n" };
    fs_err::write(file, format!("{}{joint}{kept}", page(&results)))?;
    Ok(())
}

fn page(results: &Results) -> String {
    let mut page = String::from("# From power-on to an answering engine\n\n");
    let accelerator = match results.accelerator {
        Accelerator::Kvm => "KVM",
        Accelerator::Hvf => "Hypervisor.framework",
        Accelerator::Tcg => "TCG (every instruction is translated; KVM does not run guests there)",
    };
    line(&mut page, format_args!("{}, {}; {accelerator}.", results.date, results.qemu));
    line(
        &mut page,
        format_args!(
            "Both machines: {} processors of a host that has as many, {} MiB of memory. What is measured and how: \
             [README](README.md); every number: [results.json](results.json). To take them again: `make bench`.",
            results.cpus, results.memory_mib
        ),
    );
    let versions: Vec<String> =
        results.debian.iter().map(|(name, version)| format!("{name} {version}")).collect();
    line(&mut page, format_args!("Debian: {}.", versions.join(", ")));
    summary(&mut page, results.boots);
    for start in [Start::First, Start::Later] {
        for system in [System::Cove, System::Debian] {
            stages(&mut page, results.boots, system, start);
        }
    }
    idle(&mut page, results.boots);
    every_boot(&mut page, results.boots);
    page
}

/// How the part of the page begins that `tests/conformance/bench.rs` writes. It stays as it is.
const DROP_IN: &str = "# The drop-in `devcontainer`";

/// Writing to a string cannot fail.
fn line(page: &mut String, text: std::fmt::Arguments) {
    writeln!(page, "{text}").expect("a string takes everything");
}

fn of(boots: &[Boot], system: System, start: Start) -> impl Iterator<Item = &Boot> {
    boots.iter().filter(move |boot| boot.system == system && boot.start == start)
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

fn summary(page: &mut String, boots: &[Boot]) {
    line(page, format_args!("\n## Time to the answer of the Docker API\n"));
    line(page, format_args!("Median (smallest to largest).\n"));
    line(page, format_args!("| | boots | Cove | Debian | Debian / Cove |\n|---|--:|--:|--:|--:|"));
    for start in [Start::First, Start::Later] {
        for what in ["", ", processor time of QEMU"] {
            let measure = |boot: &Boot| if what.is_empty() { boot.answered_ms } else { boot.cpu_ms };
            let spread_of = |system| spread(of(boots, system, start).map(measure).collect());
            let (Some(cove), Some(debian)) = (spread_of(System::Cove), spread_of(System::Debian)) else {
                continue;
            };
            let tell = |(least, middle, most)| {
                format!("{} ({} to {})", seconds(middle), seconds(least), seconds(most))
            };
            let count = of(boots, System::Cove, start).count();
            let ratio = debian.1 as f64 / cove.1.max(1) as f64;
            line(
                page,
                format_args!(
                    "| {}{what} | {count} | {} | {} | {ratio:.1}x |",
                    start.name(),
                    tell(cove),
                    tell(debian)
                ),
            );
        }
    }
}

/// The median time at which each stage was reached. The order is that of the medians: some run side by side.
fn stages(page: &mut String, boots: &[Boot], system: System, start: Start) {
    let mut names: Vec<&str> = Vec::new();
    for stage in of(boots, system, start).flat_map(|boot| &boot.stages) {
        if !names.contains(&stage.name.as_str()) {
            names.push(&stage.name);
        }
    }
    let mut rows: Vec<(u64, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let all = of(boots, system, start).flat_map(|boot| &boot.stages);
            let times = all.filter(|stage| stage.name == name).map(|stage| stage.at_ms).collect();
            Some((spread(times)?.1, name))
        })
        .collect();
    rows.sort_unstable();
    line(page, format_args!("\n## Stages of {}, {}\n", system.name(), start.name()));
    line(page, format_args!("| reached | after power-on | after the line above |\n|---|--:|--:|"));
    let mut before = 0;
    for (at, name) in rows {
        line(page, format_args!("| {name} | {} | {} |", seconds(at), seconds(at - before)));
        before = at;
    }
}

fn idle(page: &mut String, boots: &[Boot]) {
    line(page, format_args!("\n## Memory, half a minute after the answer\n"));
    line(page, format_args!("| | used in the guest | QEMU's process |\n|---|--:|--:|"));
    for boot in boots {
        let Some(idle) = boot.idle else { continue };
        line(
            page,
            format_args!(
                "| {}, {} | {} of {} | {} |",
                boot.system.name(),
                boot.start.name(),
                megabytes(idle.used),
                megabytes(idle.total),
                megabytes(idle.qemu)
            ),
        );
    }
}

fn every_boot(page: &mut String, boots: &[Boot]) {
    line(page, format_args!("\n## Every boot, in the order they were made\n"));
    line(
        page,
        format_args!(
            "| round | | | answer | processor time | load of the host before |\n|--:|---|---|--:|--:|--:|"
        ),
    );
    for boot in boots {
        line(
            page,
            format_args!(
                "| {} | {} | {} | {} | {} | {:.1} |",
                boot.round,
                boot.system.name(),
                boot.start.name(),
                seconds(boot.answered_ms),
                seconds(boot.cpu_ms),
                boot.load
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::boot::Stage;
    use super::*;

    fn boot(system: System, answered_ms: u64) -> Boot {
        Boot {
            system,
            start: Start::First,
            round: 1,
            answered_ms,
            cpu_ms: answered_ms / 2,
            load: 0.5,
            stages: vec![
                Stage { name: "engine".to_owned(), at_ms: answered_ms },
                Stage { name: "firmware".to_owned(), at_ms: 400 },
            ],
            idle: None,
        }
    }

    #[test]
    fn the_page_tells_medians_and_their_ratio() {
        let boots = [
            boot(System::Cove, 10_000),
            boot(System::Debian, 60_000),
            boot(System::Cove, 90_000),
            boot(System::Debian, 70_000),
            boot(System::Cove, 11_000),
            boot(System::Debian, 66_000),
        ];
        let results = Results {
            date: "2030-01-01",
            qemu: "QEMU 10",
            accelerator: Accelerator::Tcg,
            cpus: 2,
            memory_mib: 2048,
            debian: &[],
            boots: &boots,
        };
        let page = page(&results);
        let row = "| first boot | 3 | 11.0 s (10.0 s to 90.0 s) | 66.0 s (60.0 s to 70.0 s) | 6.0x |";
        assert!(page.lines().any(|line| line == row), "{page}");
        assert!(page.contains("| firmware | 0.4 s | 0.4 s |\n| engine | 11.0 s | 10.6 s |"), "{page}");
    }
}
