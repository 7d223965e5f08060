//! `hostRequirements` against the machine: what it lacks, and what would give it that.

use api::{MachineSpec, Problem, ProblemCode};
use devcontainer::{Gpu, HostRequirements};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Memory that this computer keeps for itself, in MiB.
const KEPT_MIB: u64 = 1024;

/// How large a machine on this computer can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostLimits {
    /// Processors.
    pub(crate) cpus: u32,
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
}

impl HostLimits {
    /// Those of this computer: all of its processors, and its memory but for a gigabyte.
    pub(crate) fn of_this_computer() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        Self { cpus, memory_mib: crate::settings::host_memory_mib().saturating_sub(KEPT_MIB) }
    }
}

/// What a machine lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lack {
    cpus: Option<u32>,
    memory_mib: Option<u64>,
    disk_gib: Option<u64>,
    gpu: bool,
}

impl Lack {
    /// What a machine of this size lacks. There is no graphics processor in any.
    pub(crate) fn of(required: &HostRequirements, machine: &MachineSpec) -> Self {
        let memory = required.memory.map(|size| size.0.div_ceil(MIB));
        let disk = required.storage.map(|size| size.0.div_ceil(GIB));
        Self {
            cpus: required.cpus.filter(|cpus| *cpus > machine.cpus),
            memory_mib: memory.filter(|memory| *memory > machine.memory_mib),
            disk_gib: disk.filter(|disk| *disk > machine.disk_gib),
            // One that is only welcome is not missed.
            gpu: matches!(required.gpu, Some(Gpu::Required | Gpu::AtLeast { .. })),
        }
    }

    /// Makes a machine as large as is asked for and this computer allows. Whether that changes it.
    pub(crate) fn fill(&self, machine: &mut MachineSpec, limits: HostLimits) -> bool {
        let before = machine.clone();
        machine.cpus = self.cpus.map_or(machine.cpus, |cpus| cpus.min(limits.cpus).max(machine.cpus));
        let memory = self.memory_mib.map(|memory| memory.min(limits.memory_mib));
        machine.memory_mib = memory.unwrap_or_default().max(machine.memory_mib);
        // Sparse: it takes what is written.
        machine.disk_gib = self.disk_gib.unwrap_or_default().max(machine.disk_gib);
        *machine != before
    }

    /// What a person is told; `None` if nothing is lacking.
    pub(crate) fn warning(&self, machine: &MachineSpec, limits: HostLimits) -> Option<Problem> {
        let mut lacks = Vec::new();
        let mut flags = Vec::new();
        let mut beyond = Vec::new();
        if let Some(cpus) = self.cpus {
            lacks.push(format!("{cpus} processors (it has {})", machine.cpus));
            if cpus <= limits.cpus {
                flags.push(format!("--cpus {cpus}"));
            } else {
                beyond.push(format!("{} processors", limits.cpus));
            }
        }
        if let Some(memory) = self.memory_mib {
            lacks.push(format!("{} of memory (it has {})", shown_mib(memory), shown_mib(machine.memory_mib)));
            if memory <= limits.memory_mib {
                flags.push(format!("--memory {memory}M"));
            } else {
                beyond.push(format!("{} of memory for a machine", shown_mib(limits.memory_mib)));
            }
        }
        if let Some(disk) = self.disk_gib {
            lacks.push(format!("{disk} GiB of disk (it has {})", machine.disk_gib));
            flags.push(format!("--disk {disk}G"));
        }
        if self.gpu {
            lacks.push("a graphics processor, which no machine has".to_owned());
        }
        if lacks.is_empty() {
            return None;
        }
        let title = format!("the configuration asks the machine for {}", lacks.join(", "));
        let mut problem = Problem::new(ProblemCode::RequirementsUnmet, title);
        if !flags.is_empty() {
            let command = format!("cove machine set {} && cove machine restart", flags.join(" "));
            problem = problem.with_command("make it large enough; all that runs in it restarts", command);
        }
        if !beyond.is_empty() {
            problem = problem.with_hint(format!("this computer has only {}", beyond.join(" and ")));
        }
        Some(problem)
    }
}

fn shown_mib(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use devcontainer::Size;

    use super::*;
    use crate::settings::default_machine;

    fn machine() -> MachineSpec {
        MachineSpec { cpus: 2, memory_mib: 4096, disk_gib: 64, ..default_machine() }
    }

    fn required(cpus: u32, memory_gib: u64, disk_gib: u64, gpu: Gpu) -> HostRequirements {
        HostRequirements {
            cpus: Some(cpus),
            memory: Some(Size(memory_gib << 30)),
            storage: Some(Size(disk_gib << 30)),
            gpu: Some(gpu),
        }
    }

    const LIMITS: HostLimits = HostLimits { cpus: 8, memory_mib: 15 << 10 };

    fn told(required: &HostRequirements) -> String {
        let Some(problem) = Lack::of(required, &machine()).warning(&machine(), LIMITS) else {
            return "nothing".to_owned();
        };
        let hints = problem.hints.into_iter().map(|hint| hint.command.unwrap_or(hint.text));
        [problem.title].into_iter().chain(hints).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn what_is_lacking_is_told_with_the_command_that_gives_it() {
        assert_eq!(told(&required(2, 4, 32, Gpu::Optional)), "nothing");
        assert_eq!(
            told(&required(4, 8, 100, Gpu::No)),
            "the configuration asks the machine for 4 processors (it has 2), 8 GiB of memory (it has 4 GiB), \
             100 GiB of disk (it has 64) | \
             cove machine set --cpus 4 --memory 8192M --disk 100G && cove machine restart"
        );
        assert_eq!(
            told(&required(4, 64, 1, Gpu::Required)),
            "the configuration asks the machine for 4 processors (it has 2), 64 GiB of memory (it has 4 GiB), \
             a graphics processor, which no machine has | cove machine set --cpus 4 && cove machine restart | \
             this computer has only 15 GiB of memory for a machine"
        );
    }

    #[test]
    fn a_new_machine_grows_as_far_as_this_computer_allows() {
        let mut grown = machine();
        let lack = Lack::of(&required(4, 64, 100, Gpu::Required), &grown);
        assert!(lack.fill(&mut grown, LIMITS));
        assert_eq!((grown.cpus, grown.memory_mib, grown.disk_gib), (4, 15 << 10, 100));
        assert!(!Lack::of(&required(1, 1, 1, Gpu::No), &grown).fill(&mut grown, LIMITS));
    }
}
