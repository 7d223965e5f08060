//! `cargo xtask bench`: from power-on to an answering Docker Engine, for Cove's machine and for a Debian system put
//! together as its cloud image is, in turns under the same QEMU. `bench/README.md` says what is measured and how.

pub(crate) mod agent;
mod app;
mod boot;
mod control;
mod cove;
mod debian;
mod debian_image;
mod latency;
mod process;
mod report;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use self::boot::{Boot, Start};
use crate::image::{self, Arch, Places};
use crate::output::say;

/// What `cargo xtask bench` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Boots of each system of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Measure the guest image in this folder instead of building it
    #[arg(long, value_name = "DIR")]
    image: Option<Utf8PathBuf>,
    /// Write the results into this folder instead of `bench/`
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Compare the drop-in `devcontainer` with the reference instead of machines
    #[arg(long)]
    pub(crate) devcontainer: bool,
    /// Measure the echo of keys in `cove shell` under load instead of machines; `--runs` turns
    #[arg(long, conflicts_with = "devcontainer")]
    pub(crate) latency: bool,
    /// Weigh the app beside a browser of the same engine instead of machines
    #[arg(long, conflicts_with_all = ["devcontainer", "latency"])]
    pub(crate) app: bool,
    /// Measure what a control plane of many runners costs instead of machines
    #[arg(long, conflicts_with_all = ["devcontainer", "latency", "app"])]
    pub(crate) control: bool,
    /// With `--app`: weigh the build for tests, which is there already
    #[arg(long, requires = "app")]
    pub(crate) quick: bool,
}

impl Options {
    /// The folder for the results.
    pub(crate) fn folder(&self) -> Utf8PathBuf {
        let own = || Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench");
        self.out.clone().unwrap_or_else(own)
    }
}

/// How long the engine is left alone before the memory of an idle machine is read.
const IDLE: Duration = Duration::from_secs(30);

/// Memory of both machines, in MiB.
const MEMORY_MIB: u64 = 2048;

/// Nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("could not build the guest image")]
    Image(#[from] image::ImageError),
    #[error(transparent)]
    Places(#[from] image::NoCache),
    #[error("could not make the Debian system to compare with")]
    DebianImage(#[from] debian_image::DebianImageError),
    #[error("Cove's machine was not measured")]
    Cove(#[from] cove::CoveError),
    #[error("the Debian machine was not measured")]
    Debian(#[from] debian::DebianError),
    #[error("could not tell about this machine")]
    Step(#[from] crate::steps::StepError),
    #[error("the echo of keys was not measured")]
    Latency(#[from] latency::LatencyError),
    #[error("the app was not weighed")]
    App(#[from] app::WeightError),
    #[error("the control plane was not measured")]
    Control(#[from] control::ControlError),
    #[error("no guest image exists for this computer's processor")]
    Architecture,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What both machines have in common.
#[derive(Debug, Clone)]
struct Hardware {
    architecture: vmm::Architecture,
    cpus: u32,
    memory_mib: u64,
}

/// Measures, and writes `RESULTS.md` and `results.json`.
pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    if options.app {
        return Ok(app::bench(&options.folder(), options.quick)?);
    }
    if options.control {
        return Ok(control::bench(&options.folder())?);
    }
    if options.latency {
        let image = options.image.as_deref().map(Utf8Path::canonicalize_utf8).transpose()?;
        return Ok(latency::bench(&options.folder(), image.as_deref(), options.runs)?);
    }
    let places = Places::new(Arch::host(), None)?;
    let image = if let Some(given) = &options.image {
        given.canonicalize_utf8()?
    } else {
        image::build(&image::Options::default())?;
        places.out.clone()
    };
    let folder = places.cache.join("bench");
    let debian = debian_image::provide(&folder, &places.repository.join("bench/debian"))?;
    let cpus = std::thread::available_parallelism().map_or(2, |count| count.get().min(8) as u32);
    let architecture = vmm::Architecture::host().ok_or(BenchError::Architecture)?;
    let hardware = Hardware { architecture, cpus, memory_mib: MEMORY_MIB };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (boots, accelerator) =
        runtime.block_on(measure(options.runs, &hardware, &folder, &image, &debian))?;
    let out = options.out.clone().unwrap_or_else(|| places.repository.join("bench"));
    report::write(&out, &hardware, accelerator, &debian.versions()?, &boots)?;
    say(format!("results: {out}/RESULTS.md"));
    Ok(())
}

/// Boots the systems in turns. The first round also makes the disks from which later boots start.
async fn measure(
    runs: u32,
    hardware: &Hardware,
    folder: &Utf8Path,
    image: &Utf8Path,
    debian_image: &debian_image::DebianImage,
) -> Result<(Vec<Boot>, vmm::Accelerator), BenchError> {
    let cove = cove::Cove::new(hardware, folder, image)?;
    let mut boots = Vec::new();
    let mut executed_by = vmm::Accelerator::Tcg;
    for round in 1..=runs {
        for start in [Start::First, Start::Later] {
            // The machines of the first round end in order: their disks are those of all later boots.
            let plan = Plan {
                round,
                start,
                keep_disk: round == 1 && start == Start::First,
                idle: round == 1 && start == Start::Later,
            };
            let (boot, accelerator) = cove.boot(plan).await?;
            executed_by = accelerator;
            boot.tell();
            boots.push(boot);
            let boot = debian::boot(hardware, accelerator, folder, debian_image, plan).await?;
            boot.tell();
            boots.push(boot);
        }
    }
    Ok((boots, executed_by))
}

/// One boot to be measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    round: u32,
    start: Start,
    /// Ends the machine in order and keeps its disk for later boots, instead of killing it.
    keep_disk: bool,
    /// Also measures the idle machine.
    idle: bool,
}
