//! Graphics processors: whether a container gets them.

use devcontainer::Gpu;

use crate::connect::Engine;
use crate::error::EngineError;

/// What is known of the engine's graphics processors without asking it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuAvailability {
    /// They are there.
    All,
    /// The engine is asked.
    #[default]
    Detect,
    /// There are none.
    None,
}

/// What a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuUse {
    /// All graphics processors.
    All,
    /// None, which is as it should be.
    None,
    /// None, though the configuration needs one: a reason to warn, not to fail.
    Missing,
}

impl Engine {
    /// Decides whether a container gets the graphics processors, from what its configuration says of them.
    pub async fn gpu_for(
        &self,
        wanted: Option<&Gpu>,
        availability: GpuAvailability,
    ) -> Result<GpuUse, EngineError> {
        let is_needed = match wanted {
            None | Some(Gpu::No) => return Ok(GpuUse::None),
            Some(Gpu::Optional) => false,
            Some(Gpu::Required | Gpu::AtLeast { .. }) => true,
        };
        let there = match availability {
            GpuAvailability::All => true,
            GpuAvailability::None => false,
            GpuAvailability::Detect => self.has_gpu().await?,
        };
        Ok(match (there, is_needed) {
            (true, _) => GpuUse::All,
            (false, true) => GpuUse::Missing,
            (false, false) => GpuUse::None,
        })
    }
}
