//! The OpenAPI document, generated from the routes' annotations and the types of crate `api`.

use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, PathItem};

use super::{
    audit, control, diagnostics, docker, editors, environments, events, examples, exec, grants, logs,
    machine, page, prebuilds, secrets, settings, socket, system, watch,
};

/// The document of this version.
pub fn document() -> OpenApi {
    let mut document = Annotated::openapi();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
        }
    }
    document
}

/// Handlers have short names in their modules; a document has one name space. `get /v1/environments/{environment}/logs` is
/// `get_environments_by_environment_logs`.
fn operation_id(method: &str, path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != api::API_VERSION);
    parts.fold(method.to_owned(), |id, part| match part.strip_prefix('{') {
        Some(name) => id + "_by_" + name.trim_end_matches('}'),
        None => id + "_" + &part.replace(['.', '-'], "_"),
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The document as it is served and printed.
pub fn json() -> String {
    document().to_pretty_json().expect("a document is plain data that JSON can hold")
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Cove",
        description = "The local API of coved: HTTP/1.1 on the unix socket `run/coved.sock` of the state folder, for this user's processes only.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "environments", description = "Folders that run as dev containers"),
        (name = "machines", description = "The virtual machine they run in"),
        (name = "docker", description = "What the machine's Docker Engine has"),
        (name = "secrets", description = "What only the person and their environments know"),
        (name = "settings", description = "What holds on this computer, and what its person chose"),
        (name = "control", description = "The control plane that this computer belongs to"),
        (name = "examples", description = "Projects that come with Cove"),
        (name = "audit", description = "Who was let do what"),
        (name = "events", description = "What happens"),
        (name = "daemon", description = "The daemon itself"),
    ),
    paths(
        system::version,
        system::document,
        system::doctor,
        system::shut_down,
        page::open,
        page::close,
        watch::watch,
        events::history,
        diagnostics::preview,
        diagnostics::bundle,
        environments::list,
        environments::up,
        environments::show,
        environments::change,
        environments::remove,
        environments::plan,
        environments::customizations,
        audit::check,
        audit::read,
        environments::keep_alive,
        grants::grant,
        grants::revoke,
        environments::https,
        environments::set_https,
        environments::plan_folder,
        prebuilds::list,
        prebuilds::remove,
        secrets::list,
        secrets::change,
        control::show,
        control::join,
        control::leave,
        control::insist,
        control::settle,
        settings::show,
        settings::change,
        editors::list,
        editors::choose,
        examples::list,
        examples::make,
        logs::of_environment,
        logs::of_automation,
        exec::in_environment,
        socket::in_environment,
        socket::in_machine,
        exec::ssh_to_environment,
        machine::show,
        machine::change,
        machine::start,
        machine::stop,
        machine::metrics,
        machine::reclaim,
        logs::of_machine,
        exec::in_machine,
        docker::usage,
        docker::prune,
        docker::containers,
        docker::container,
        docker::start,
        docker::stop,
        docker::restart,
        docker::remove_container,
        docker::inspect_container,
        docker::container_logs,
        exec::in_container,
        socket::in_container,
        docker::images,
        docker::image,
        docker::remove_image,
        docker::volumes,
        docker::remove_volume,
        docker::browse,
        docker::inspect_volume,
        docker::networks,
        docker::inspect_network,
        docker::remove_network,
        docker::builds,
    ),
)]
struct Annotated;
