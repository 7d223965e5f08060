//! The machine of a story: the driver in memory behind the same door as a real one.

use api::{Problem, ProblemCode};
use futures::executor::block_on;
use vmm::fake::{FakeBoot, FakeHypervisor};
use vmm::{Architecture, BootImage, DataDisk, FailureKind, Hypervisor, Network, VmConfig, VmDriver, VmState};

/// Steps of the fake's clock that a boot may take before a story gives up on it.
const PATIENCE: u32 = 20;

/// A machine that is off until it is started.
#[derive(Default)]
pub struct FakeMachine {
    hypervisor: FakeHypervisor,
    driver: Option<Box<dyn VmDriver>>,
}

impl FakeMachine {
    /// Whether its agent could be reached.
    pub fn is_on(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.state() == VmState::Running)
    }

    /// Boots it, unless it is on.
    ///
    /// # Errors
    /// What the driver says of a boot that fails.
    pub fn start(&mut self) -> Result<(), Problem> {
        if self.is_on() {
            return Ok(());
        }
        let failed = |message: String| Problem::new(ProblemCode::MachineFailed, message);
        let driver =
            block_on(self.hypervisor.boot(description())).map_err(|error| failed(error.to_string()))?;
        for _ in 0..PATIENCE {
            match driver.state() {
                VmState::Starting => self.hypervisor.tick(),
                VmState::Running => {
                    self.driver = Some(driver);
                    return Ok(());
                }
                state => return Err(failed(state.to_string())),
            }
        }
        Err(failed("the machine does not come up".to_owned()))
    }

    /// Cuts its power.
    pub fn crash(&mut self) {
        self.hypervisor.crash(FailureKind::HypervisorDied, "its power was cut");
        self.driver = None;
    }

    /// Lets the next boot fail after a while.
    pub fn fail_next_boot(&self) {
        self.hypervisor.then(FakeBoot::failing(2, FailureKind::GuestCrashed, "the kernel panicked"));
    }
}

fn description() -> VmConfig {
    VmConfig {
        architecture: Architecture::Amd64,
        cpus: 2,
        memory_mib: 2048,
        image: BootImage::in_folder("/images/amd64".into()),
        data_disk: DataDisk { path: "/machines/default/data.img".into(), size_gib: 64 },
        shares: Vec::new(),
        network: Network::UserMode,
        console_log: "/machines/default/console.log".into(),
        run_dir: "/machines/default".into(),
        kernel_arguments: Vec::new(),
        wishes: vmm::Wishes::default(),
    }
}
