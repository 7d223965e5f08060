//! What happens to containers, as it happens.

use std::collections::BTreeMap;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures::future;
use futures::stream::{BoxStream, StreamExt};

use crate::connect::Engine;
use crate::error::EngineError;
use crate::images::filters;

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The container's id.
    pub container: String,
    /// What happened.
    pub kind: ContainerEventKind,
    /// The container's labels, and what else the engine says of it (`name`, `image`, `exitCode`).
    pub attributes: BTreeMap<String, String>,
    /// When, in nanoseconds since the Unix epoch by the engine's clock.
    pub unix_nanos: i64,
}

/// What can happen to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerEventKind {
    /// It was made.
    Created,
    /// It runs.
    Started,
    /// Its first process ended, by itself or not.
    Died,
    /// The kernel killed one of its processes for want of memory.
    OutOfMemory,
    /// Its health check changed its verdict.
    Health {
        /// Whether it is well now.
        healthy: bool,
    },
    /// It is gone.
    Removed,
}

impl Engine {
    /// Streams what happens to the containers that carry all these labels (`key` or `key=value`), from the moment
    /// of this call on, by the engine's clock: what happens after it returns is told however late the stream is
    /// read, so a list that is made in between misses nothing. An error or the end means that the connection is
    /// lost and events may have been missed: list the containers again after connecting anew.
    pub async fn events(
        &self,
        labels: &[String],
    ) -> Result<BoxStream<'static, Result<ContainerEvent, EngineError>>, EngineError> {
        let operation = "report events";
        let now = self.clock(operation).await?;
        let actions = ["create", "start", "die", "oom", "health_status", "destroy"];
        let wanted = filters(&[
            ("type", vec!["container".to_owned()]),
            ("event", actions.map(str::to_owned).to_vec()),
            ("label", labels.to_vec()),
        ]);
        let mut options = EventsOptionsBuilder::new().filters(&wanted);
        if let Some(now) = &now {
            options = options.since(now);
        }
        let options = options.build();
        let events = self.api(operation)?.events(Some(options));
        let engine = self.clone();
        let events = events.map(move |event| event.map_err(|error| engine.failed(operation, error)));
        Ok(events.filter_map(|event| future::ready(event.map(container_event).transpose())).boxed())
    }

    /// The time by the engine's clock, as it takes it for `since`. An engine that does not tell begins with the request,
    /// which is sent when its stream is first looked at.
    pub(crate) async fn clock(&self, operation: &str) -> Result<Option<String>, EngineError> {
        let said = self.api(operation)?.info().await.map_err(|error| self.failed(operation, error))?;
        let now = said.system_time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
        Ok(now.map(|now| format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())))
    }
}

fn container_event(said: EventMessage) -> Option<ContainerEvent> {
    let actor = said.actor?;
    let kind = match said.action?.as_str() {
        "create" => ContainerEventKind::Created,
        "start" => ContainerEventKind::Started,
        "die" => ContainerEventKind::Died,
        "oom" => ContainerEventKind::OutOfMemory,
        "destroy" => ContainerEventKind::Removed,
        "health_status: healthy" => ContainerEventKind::Health { healthy: true },
        "health_status: unhealthy" => ContainerEventKind::Health { healthy: false },
        _ => return None,
    };
    Some(ContainerEvent {
        container: actor.id?,
        kind,
        attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
        unix_nanos: said.time_nano.unwrap_or(0),
    })
}
