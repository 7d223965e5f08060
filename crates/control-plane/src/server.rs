//! HTTP: on a unix socket for the host itself, and with TLS for everybody else.
//!
//! Whoever connects is somebody: the host (who may use the socket of the state folder), a runner (by its certificate), a
//! person (by a token or a session), or nobody. Every answer that is no success has an [`api::ErrorBody`].

mod answer;
mod audit_log;
mod caller;
mod console;
mod credentials;
mod devices;
mod enrolments;
mod explain;
mod listen;
mod me;
mod openapi;
mod pace;
mod page;
mod resources;
mod rights;
mod secrets;
mod settle;
mod sign_in;
mod system;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;
mod wire;
mod workloads;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post, put};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::authz::Worlds;
use crate::identity::{Authority, Provider};
use crate::store::Database;
use crate::sync::Fleet;

pub use listen::{Door, ListenError, local, tls};
pub use pace::Pace;

/// What the routes work with. Clones share it.
#[derive(Clone)]
pub struct Control {
    /// Everything that is remembered.
    pub database: Database,
    /// Signs for runners.
    pub authority: Arc<Authority>,
    /// Who says who people are; they sign in nowhere where it is absent.
    pub provider: Option<Arc<Provider>>,
    /// Where others reach this server: `https://control.example.com:8443`.
    pub address: Arc<str>,
    /// Who may do what, as far as it was read lately.
    pub worlds: Arc<Worlds>,
    /// How fast those may come who proved nothing.
    pub pace: Arc<Pace>,
    /// What is shared with runners.
    pub fleet: Fleet,
    /// The time.
    pub now: fn() -> Timestamp,
    /// Ends streams when the server ends.
    pub shutdown: CancellationToken,
}

/// The server: its routes, and one form for everything that is no success.
pub fn routes(control: Control) -> Router {
    let Table(all) = table();
    all.into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(page::page)
        .method_not_allowed_fallback(answer::no_method)
        .layer(axum::middleware::from_fn(answer::readable))
        .with_state(control)
}

/// Routes that can be listed: each is in the document.
struct Table(Vec<(&'static str, MethodRouter<Control>)>);

impl Table {
    fn route(mut self, path: &'static str, methods: MethodRouter<Control>) -> Self {
        self.0.push((path, methods));
        self
    }
}

/// All routes.
fn table() -> Table {
    Table(Vec::new())
        .route("/v1/info", get(system::info))
        .route("/v1/openapi.json", get(system::document))
        .route("/v1/enrol", post(enrolments::enrol))
        .route("/v1/renew", post(enrolments::renew))
        .route("/v1/report", post(wire::report))
        .route("/v1/sync", get(wire::sync))
        .route("/v1/sign-in", get(sign_in::sign_in))
        .route("/v1/sign-in/callback", get(sign_in::callback))
        .route("/v1/sign-out", post(sign_in::sign_out))
        .route("/v1/device", post(devices::begin))
        .route("/v1/device/poll", post(devices::poll))
        .route("/v1/workload-token", post(workloads::sign))
        .route("/v1/workload-key/rotate", post(workloads::rotate))
        .route("/.well-known/openid-configuration", get(workloads::configuration))
        .route("/.well-known/jwks.json", get(workloads::keys))
        .route("/v1/me", get(me::me))
        .route("/v1/console/enter", post(console::enter))
        .route("/v1/organizations/{organization}/users/{name}/console", post(console::link))
        .route("/v1/tokens", get(tokens::list).post(tokens::make))
        .route("/v1/tokens/{id}", delete(tokens::take_back))
        .route("/v1/organizations/{organization}/users/{name}/tokens", post(tokens::make_for))
        .route("/v1/organizations", get(resources::organizations))
        .route("/v1/organizations/{organization}/apply", post(resources::apply))
        .route("/v1/organizations/{organization}/explain", post(explain::explain))
        .route("/v1/organizations/{organization}/watch", get(watch::watch))
        .route("/v1/organizations/{organization}/audit", get(audit_log::audit))
        .route("/v1/organizations/{organization}/audit/verify", post(audit_log::verify_for))
        .route("/v1/audit", get(audit_log::all))
        .route("/v1/audit/verify", post(audit_log::verify))
        .route("/v1/organizations/{organization}/runners/{name}/token", post(enrolments::invite))
        .route("/v1/organizations/{organization}/runners/{name}/revoke", post(enrolments::revoke))
        .route("/v1/organizations/{organization}/environments/{name}/settle", put(settle::settle))
        .route("/v1/organizations/{organization}/secrets/{name}/recipients", post(secrets::recipients))
        .route("/v1/organizations/{organization}/{kind}", get(resources::list))
        .route(
            "/v1/organizations/{organization}/{kind}/{name}",
            get(resources::get).put(resources::put).delete(resources::delete),
        )
}
