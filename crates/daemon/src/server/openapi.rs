//! The OpenAPI document, generated from the routes' annotations and the types of crate `api`.

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use super::{audit, environments, exec, grants, logs, machine, prebuilds, secrets, system, watch};

/// The document of this version.
pub fn document() -> OpenApi {
    Annotated::openapi()
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
        (name = "secrets", description = "What only the person and their environments know"),
        (name = "audit", description = "Who was let do what"),
        (name = "events", description = "What happens"),
        (name = "daemon", description = "The daemon itself"),
    ),
    paths(
        system::version,
        system::document,
        system::doctor,
        system::shut_down,
        watch::watch,
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
        logs::of_environment,
        exec::in_environment,
        exec::ssh_to_environment,
        machine::show,
        machine::change,
        machine::start,
        machine::stop,
        logs::of_machine,
        exec::in_machine,
    ),
)]
struct Annotated;
