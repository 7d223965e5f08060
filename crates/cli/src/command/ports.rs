//! `cove ports`

mod https;

use std::time::Duration;

use api::{
    Environment, EnvironmentPatch, Phase, PortOrigin, PortStatus, PortWish, Problem, ProblemCode, Transport,
};
use client::Client;

use crate::arguments::{PortsArguments, PortsCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::select;
use crate::table::{self, Cell};

/// How long a wish is given to be fulfilled before it is shown as it is.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context, arguments: PortsArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = match arguments.command {
        Some(PortsCommand::Https { switch, trust }) => {
            return https::run(context, &client, switch, trust).await;
        }
        None => select::environment(&client, arguments.of.environment.as_deref()).await?,
        Some(PortsCommand::Forward(asked)) => {
            let environment = select::environment(&client, Some(&asked.environment)).await?;
            let changed = change(&client, &environment, |ports| {
                for wish in &asked.ports {
                    ports.retain(|other| !other.is_for_same(wish));
                    ports.push(wish.clone());
                }
                Ok(())
            });
            settled(&client, changed.await?, &asked.ports).await?
        }
        Some(PortsCommand::Close(asked)) => {
            let environment = select::environment(&client, Some(&asked.environment)).await?;
            let changed = change(&client, &environment, |ports| {
                for wish in &asked.ports {
                    let before = ports.len();
                    ports.retain(|other| !other.is_for_same(wish));
                    if ports.len() == before {
                        return Err(nobody_asked(wish).into());
                    }
                }
                Ok(())
            });
            settled(&client, changed.await?, &[]).await?
        }
    };
    let ports = &environment.status.ports;
    if ports.is_empty() && !context.output.is_json() {
        let words = match environment.status.phase {
            Phase::Running => "No port is forwarded, and no program listens.",
            _ => "It does not run: its ports are open while it does.",
        };
        context.output.note(words);
        return Ok(());
    }
    context.output.show(ports, |paint| table_of(ports, paint))
}

async fn change(
    client: &Client,
    environment: &Environment,
    make: impl FnOnce(&mut Vec<PortWish>) -> Result<(), Failure>,
) -> Result<Environment, Failure> {
    let mut ports = environment.spec.ports.clone();
    make(&mut ports)?;
    let patch = EnvironmentPatch {
        // Somebody else's wish of the same moment is not lost.
        resource_version: Some(environment.metadata.resource_version),
        ports: Some(ports),
        ..EnvironmentPatch::default()
    };
    Ok(client.change_environment(environment.id.as_str(), &patch).await?)
}

/// The environment once it is as it was asked for, or a while later.
async fn settled(
    client: &Client,
    mut environment: Environment,
    asked: &[PortWish],
) -> Result<Environment, Failure> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status = &environment.status;
        let is_there = |wish: &PortWish| {
            status.ports.iter().any(|port| is_of(port, wish) && port.origin == PortOrigin::Asked)
        };
        let is_wanted = |port: &PortStatus| environment.spec.ports.iter().any(|wish| is_of(port, wish));
        let left_over = |port: &PortStatus| port.origin == PortOrigin::Asked && !is_wanted(port);
        let is_settled = asked.iter().all(is_there) && !status.ports.iter().any(left_over);
        if is_settled || status.phase != Phase::Running || tokio::time::Instant::now() >= until {
            return Ok(environment);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        environment = client.environment(environment.id.as_str()).await?;
    }
}

/// A wish may name the main container's own service.
fn is_of(port: &PortStatus, wish: &PortWish) -> bool {
    port.container_port == wish.container_port
        && port.transport == wish.transport
        && (port.service.is_none() || port.service == wish.service)
}

fn nobody_asked(wish: &PortWish) -> Problem {
    let title = format!("nobody asked for port {wish}");
    Problem::new(ProblemCode::InvalidRequest, title).with_hint(
        "ports of the configuration and ports that programs listen on are closed by \
         `\"onAutoForward\": \"ignore\"` in `portsAttributes`, or by taking them out of `forwardPorts`",
    )
}

pub(super) fn table_of(ports: &[PortStatus], paint: Paint) -> String {
    let rows: Vec<Vec<Cell>> = ports
        .iter()
        .map(|port| {
            let here = match (port.host_port, port.transport) {
                (Some(number), Transport::Tcp) => format!("localhost:{number}"),
                (Some(number), Transport::Udp) => format!("localhost:{number}/udp"),
                (None, _) => "not open".to_owned(),
            };
            let by = match (&port.program, port.listening) {
                (Some(program), _) => program.clone(),
                (None, true) => "yes".to_owned(),
                (None, false) => "-".to_owned(),
            };
            vec![
                Cell::plain(port.inside()),
                Cell::plain(here),
                Cell::plain(port.address.as_deref().unwrap_or("-")),
                Cell::plain(by),
                Cell::plain(origin(port.origin)),
                Cell::plain(port.label.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    table::render(&["PORT", "HERE", "NAME", "LISTENS", "BECAUSE", "LABEL"], &rows, paint)
}

fn origin(origin: PortOrigin) -> &'static str {
    match origin {
        PortOrigin::Configured => "configured",
        PortOrigin::Asked => "asked for",
        PortOrigin::Found => "found",
        PortOrigin::Published => "published",
    }
}
