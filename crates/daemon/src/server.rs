//! The HTTP API on a unix socket: reads requests, writes specs, streams what happens.
//!
//! It decides nothing: a request becomes a change in the store, and the reconciler, which is told, does the rest.
//! What needs a live machine or container goes through [`EnvironmentWork`] and [`MachineWork`]. Every answer that is
//! no success has an [`api::ErrorBody`], also those about routes and bodies.

mod answer;
mod audit;
mod control;
mod diagnostics;
mod docker;
mod editors;
mod environments;
mod events;
mod examples;
mod exec;
mod grants;
mod logs;
mod machine;
mod named;
pub mod openapi;
mod page;
mod peer;
mod place;
mod prebuilds;
mod secrets;
mod settings;
mod socket;
mod system;
mod watch;
mod work;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post, put};
use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

pub use page::Door;
pub use peer::{BindError, PeerListener};
pub use work::{
    Diagnose, EnvironmentWork, FromProcess, LogRange, MachineWish, MachineWork, Process, ToProcess,
};

use crate::audit::Audit;
use crate::control::ControlPlane;
use crate::diagnostics::Bundles;
use crate::inventory::Inventory;
use crate::settings::SettingsBook;
use crate::store::Store;
use crate::sync::SyncHandle;

/// Longest body of a request, in bytes. Real ones have a few hundred.
const MAX_BODY: usize = 1 << 20;

/// What the routes work with.
#[derive(Clone)]
pub struct Api {
    /// Specs and statuses.
    pub store: Store,
    /// What the person's file says, and changes of it.
    pub settings: SettingsBook,
    /// The file of the editor that a person chose.
    pub editor_file: Utf8PathBuf,
    /// Where it is written down who did what.
    pub audit: Audit,
    /// The folder of what is known of repositories that were cloned into a machine.
    pub clones: Utf8PathBuf,
    /// The control plane that this computer belongs to, if it does.
    pub control: ControlPlane,
    /// The conversation with it.
    pub sync: SyncHandle,
    /// What needs a container.
    pub environments: Arc<dyn EnvironmentWork>,
    /// What the machine's engine has.
    pub docker: Inventory,
    /// What needs the machine.
    pub machine: Arc<dyn MachineWork>,
    /// Looks at everything.
    pub diagnose: Diagnose,
    /// Makes bundles of what was found.
    pub diagnostics: Arc<dyn Bundles>,
    /// Who may see the page.
    pub door: Door,
    /// Cancelled when the daemon shall end; open streams end with it.
    pub shutdown: CancellationToken,
}

/// How long requests under way have after the shutdown was asked for. Most are answered at once; a client that never
/// ends its request must not keep the daemon from ending.
pub(crate) const ENDING_TIME: Duration = Duration::from_secs(3);

/// Serves until the shutdown is asked for and the requests under way are answered, or their time is over.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: PeerListener, api: Api) -> std::io::Result<()> {
    let shutdown = api.shutdown.clone();
    let over = shutdown.clone();
    page::resume(&api).await;
    let serving = axum::serve(listener, router(api))
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .into_future();
    tokio::select! {
        served = serving => served,
        () = async { over.cancelled().await; tokio::time::sleep(ENDING_TIME).await } => {
            tracing::warn!("requests were cut off at the end");
            Ok(())
        }
    }
}

fn router(api: Api) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes().into_iter().chain(docker_routes()) {
        router = router.route(path, methods);
    }
    router
        .fallback(answer::no_route)
        .method_not_allowed_fallback(answer::no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn(named::log))
        .with_state(api)
}

/// All routes. The OpenAPI document has the same, which a test holds.
fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/v1/version", get(system::version)),
        ("/v1/openapi.json", get(system::document)),
        ("/v1/doctor", get(system::doctor)),
        ("/v1/shutdown", post(system::shut_down)),
        ("/v1/page", post(page::open).delete(page::close)),
        ("/v1/watch", get(watch::watch)),
        ("/v1/events", get(events::history)),
        ("/v1/diagnostics/preview", get(diagnostics::preview)),
        ("/v1/diagnostics/bundle", get(diagnostics::bundle)),
        ("/v1/environments", get(environments::list).post(environments::up)),
        (
            "/v1/environments/{environment}",
            get(environments::show).patch(environments::change).delete(environments::remove),
        ),
        ("/v1/environments/{environment}/plan", get(environments::plan)),
        ("/v1/environments/{environment}/customizations", get(environments::customizations)),
        ("/v1/environments/{environment}/grants", post(grants::grant).delete(grants::revoke)),
        ("/v1/audit", get(audit::read)),
        ("/v1/audit/check", get(audit::check)),
        ("/v1/prebuilds", get(prebuilds::list).delete(prebuilds::remove)),
        ("/v1/https", get(environments::https).put(environments::set_https)),
        ("/v1/secrets", get(secrets::list).put(secrets::change)),
        ("/v1/control", get(control::show).post(control::join).delete(control::leave)),
        ("/v1/control/insist", post(control::insist)),
        ("/v1/control/environments/{environment}/fields", put(control::settle)),
        ("/v1/settings", get(settings::show).patch(settings::change)),
        ("/v1/editors", get(editors::list).put(editors::choose)),
        ("/v1/examples", get(examples::list)),
        ("/v1/examples/{example}", post(examples::make)),
        ("/v1/plan", post(environments::plan_folder)),
        ("/v1/environments/{environment}/logs", get(logs::of_environment)),
        ("/v1/environments/{environment}/automations/{kind}/{name}/logs", get(logs::of_automation)),
        ("/v1/environments/{environment}/keep-alive", post(environments::keep_alive)),
        ("/v1/environments/{environment}/exec", post(exec::in_environment).get(socket::in_environment)),
        ("/v1/environments/{environment}/ssh", post(exec::ssh_to_environment)),
        ("/v1/machines/{machine}", get(machine::show).patch(machine::change)),
        ("/v1/machines/{machine}/start", post(machine::start)),
        ("/v1/machines/{machine}/stop", post(machine::stop)),
        ("/v1/machines/{machine}/metrics", get(machine::metrics)),
        ("/v1/machines/{machine}/reclaim", post(machine::reclaim)),
        ("/v1/machines/{machine}/logs", get(logs::of_machine)),
        ("/v1/machines/{machine}/exec", post(exec::in_machine).get(socket::in_machine)),
    ]
}

/// The routes about what the machine's engine has.
fn docker_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/v1/machines/{machine}/docker/usage", get(docker::usage)),
        ("/v1/machines/{machine}/docker/prune", post(docker::prune)),
        ("/v1/machines/{machine}/docker/containers", get(docker::containers)),
        (
            "/v1/machines/{machine}/docker/containers/{container}",
            get(docker::container).delete(docker::remove_container),
        ),
        ("/v1/machines/{machine}/docker/containers/{container}/start", post(docker::start)),
        ("/v1/machines/{machine}/docker/containers/{container}/stop", post(docker::stop)),
        ("/v1/machines/{machine}/docker/containers/{container}/restart", post(docker::restart)),
        ("/v1/machines/{machine}/docker/containers/{container}/inspect", get(docker::inspect_container)),
        ("/v1/machines/{machine}/docker/containers/{container}/logs", get(docker::container_logs)),
        (
            "/v1/machines/{machine}/docker/containers/{container}/exec",
            post(exec::in_container).get(socket::in_container),
        ),
        ("/v1/machines/{machine}/docker/images", get(docker::images)),
        ("/v1/machines/{machine}/docker/images/{image}", get(docker::image).delete(docker::remove_image)),
        ("/v1/machines/{machine}/docker/volumes", get(docker::volumes)),
        ("/v1/machines/{machine}/docker/volumes/{volume}", delete(docker::remove_volume)),
        ("/v1/machines/{machine}/docker/volumes/{volume}/files", get(docker::browse)),
        ("/v1/machines/{machine}/docker/volumes/{volume}/inspect", get(docker::inspect_volume)),
        ("/v1/machines/{machine}/docker/networks", get(docker::networks)),
        ("/v1/machines/{machine}/docker/networks/{network}", delete(docker::remove_network)),
        ("/v1/machines/{machine}/docker/networks/{network}/inspect", get(docker::inspect_network)),
        ("/v1/machines/{machine}/docker/builds", get(docker::builds)),
    ]
}

#[cfg(test)]
mod tests;
