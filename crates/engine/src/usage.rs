//! What containers use, and which programs were started in them.

use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{InspectContainerOptions, StatsOptionsBuilder};
use futures::TryStreamExt;

use crate::connect::Engine;
use crate::error::EngineError;

/// What the processes of a container have used since it started. Counters that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerUse {
    /// Time of all processors.
    pub processor: Duration,
    /// Bytes read from and written to disks. Files of other computers and of shares are none.
    pub disk: u64,
}

/// Programs started in a container that are looked at; one with more is busy in any case.
const MOST_EXECS: usize = 64;

impl Engine {
    /// What a container has used; zeros for one that does not run.
    pub async fn usage(&self, container: &str) -> Result<ContainerUse, EngineError> {
        let operation = format!("tell what the container `{container}` uses");
        // Without a second look, which would take the engine a second.
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let api = self.api(&operation)?;
        let mut answers = Box::pin(api.stats(container, Some(options)));
        let said = answers.try_next().await.map_err(|error| self.failed(&operation, error))?;
        Ok(usage_of(said.unwrap_or_default()))
    }

    /// The programs that run in a container by the engine's exec, each with its arguments, whoever started them, but for
    /// its own health check; some may be missing if there are very many.
    pub async fn running_execs(&self, container: &str) -> Result<Vec<Vec<String>>, EngineError> {
        let operation = format!("look at what runs in the container `{container}`");
        let api = self.api(&operation)?;
        let found = api.inspect_container(container, None::<InspectContainerOptions>).await;
        let found = found.map_err(|error| self.failed(&operation, error))?;
        let probe = found.config.and_then(|config| config.healthcheck?.test).unwrap_or_default();
        let mut programs = Vec::new();
        for id in found.exec_ids.unwrap_or_default().iter().take(MOST_EXECS) {
            match api.inspect_exec(id).await.map_err(|error| self.failed(&operation, error)) {
                Ok(exec) if exec.running == Some(true) => {
                    let process = exec.process_config.unwrap_or_default();
                    let arguments = process.arguments.unwrap_or_default();
                    let program: Vec<String> = process.entrypoint.into_iter().chain(arguments).collect();
                    if !is_health_check(&program, &probe) {
                        programs.push(program);
                    }
                }
                Ok(_) => {}
                // It has ended since.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(programs)
    }
}

/// Whether a program is what `HEALTHCHECK` says: `["CMD", PROGRAM, ARGUMENT...]` or `["CMD-SHELL", LINE]`.
fn is_health_check(program: &[String], probe: &[String]) -> bool {
    match probe.split_first() {
        Some((kind, argv)) if kind == "CMD" => !argv.is_empty() && program == argv,
        // The image says which shell.
        Some((kind, line)) if kind == "CMD-SHELL" => !line.is_empty() && program.ends_with(line),
        _ => false,
    }
}

fn usage_of(said: ContainerStatsResponse) -> ContainerUse {
    let processor = said.cpu_stats.and_then(|it| it.cpu_usage).and_then(|it| it.total_usage);
    let entries = said.blkio_stats.and_then(|it| it.io_service_bytes_recursive).unwrap_or_default();
    // Older kernels also tell sums of these.
    let is_one_way = |op: &str| op.eq_ignore_ascii_case("read") || op.eq_ignore_ascii_case("write");
    let bytes = entries.iter().filter(|entry| entry.op.as_deref().is_some_and(is_one_way));
    ContainerUse {
        processor: Duration::from_nanos(processor.unwrap_or_default()),
        disk: bytes.filter_map(|entry| entry.value).fold(0, u64::saturating_add),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_are_counted_and_sums_are_not_counted_twice() {
        let said = serde_json::json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000_u64}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "Read", "value": 10},
                {"major": 8, "minor": 0, "op": "write", "value": 5},
                {"major": 8, "minor": 0, "op": "Total", "value": 15}
            ]}
        });
        let usage = usage_of(serde_json::from_value(said).unwrap());
        assert_eq!(usage, ContainerUse { processor: Duration::from_millis(1500), disk: 15 });
        assert_eq!(usage_of(ContainerStatsResponse::default()), ContainerUse::default());
    }
}
