//! The OpenAPI document, generated from the routes' annotations and the types of crate `api`.
//!
//! A route says what it takes and what it answers when all is well. What it may refuse follows from its shape and is
//! added here, so that no route can forget it: a document that is exact can be held against a server by a program that
//! makes requests up.

use api::control::{
    ClassSpec, ClassStatus, EnvironmentSpec, EnvironmentStatus, ExecutionSpec, ExecutionStatus, GroupSpec,
    GroupStatus, Kind, OrganizationSpec, OrganizationStatus, PolicySpec, PolicyStatus, ProjectSpec,
    ProjectStatus, RoleSpec, RoleStatus, RunnerSpec, RunnerStatus, SecretSpec, SecretStatus, UserSpec,
    UserStatus,
};
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Header, OpenApi, PathItem, Ref, RefOr, ResponseBuilder};

use super::{
    audit_log, console, devices, enrolments, explain, me, resources, secrets, settle, sign_in, system,
    tokens, watch, wire, workloads,
};

/// How somebody can prove who they are, by the names in the document.
const PROOFS: [&str; 3] = ["certificate", "token", "session"];

/// The document of this version.
fn document() -> OpenApi {
    let mut document = Annotated::openapi();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            if operation.security.is_none() {
                operation.security = Some(PROOFS.map(|name| SecurityRequirement::new(name, [""; 0])).into());
            }
            add_refusals(method, operation);
        }
    }
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        PROOFS[0],
        SecurityScheme::MutualTls {
            description: Some("The certificate that a runner came in with.".to_owned()),
            deprecated: None,
            extensions: None,
        },
    );
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("A personal token, or one of a session of `cove-control login`.".to_owned());
    components.add_security_scheme(PROOFS[1], SecurityScheme::Http(token));
    let cookie = ApiKeyValue::with_description("__Host-cove_session", "A session of the console.");
    components.add_security_scheme(PROOFS[2], SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    // In the place of what cannot be said in Rust's types: the form of a spec follows from the kind beside it.
    components
        .schemas
        .insert("Document".to_owned(), by_kind("A resource of any kind, as it is stored and sent.", true));
    components.schemas.insert(
        "Draft".to_owned(),
        by_kind("A resource as people write it: `cove-control apply` sends these.", false),
    );
    document
}

/// The document as it is served and printed.
pub(super) fn json() -> String {
    let whole = "a document is plain data that JSON can hold";
    let mut document = serde_json::to_value(document()).expect(whole);
    name_integers(&mut document);
    let schemas = document["components"]["schemas"].clone();
    close_tagged(&mut document, &schemas);
    serde_json::to_string_pretty(&document).expect(whole)
}

/// A form with a tag beside it that takes no other fields takes that one: `allOf` both would take nothing.
fn close_tagged(value: &mut Value, schemas: &Value) {
    if let Some([form, tag]) = value.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
        && let Some(name) = form["$ref"].as_str().and_then(|path| path.rsplit('/').next())
        && schemas[name]["additionalProperties"] == false
        && let (Some(fields), Some(tags)) =
            (schemas[name]["properties"].as_object(), tag["properties"].as_object())
    {
        let mut whole = schemas[name].clone();
        whole["properties"] =
            fields.iter().chain(tags).map(|(name, form)| (name.clone(), form.clone())).collect();
        let required = [&schemas[name]["required"], &tag["required"]].map(Value::as_array);
        whole["required"] = required.into_iter().flatten().flatten().cloned().collect();
        *value = whole;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| close_tagged(field, schemas)),
        Value::Array(items) => items.iter_mut().for_each(|item| close_tagged(item, schemas)),
        _ => {}
    }
}

/// Numbers that are not below zero have formats of their own in the registry of OpenAPI; what they are called by default
/// leaves half of them out.
fn name_integers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let from_zero = fields.get("minimum").is_some_and(|least| *least == 0);
            match fields.get_mut("format") {
                Some(format) if from_zero && *format == "int32" => *format = "uint32".into(),
                Some(format) if from_zero && *format == "int64" => *format = "uint64".into(),
                _ => {}
            }
            fields.values_mut().for_each(name_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(name_integers),
        _ => {}
    }
}

/// Handlers have short names in their modules; a document has one name space. `get /v1/organizations/{organization}/audit`
/// is `get_organizations_by_organization_audit`.
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

/// What a route of such a shape may answer otherwise.
fn add_refusals(method: &str, operation: &mut Operation) {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let names_something = parameters.iter().any(is_of_path);
    let writes = method != "get";
    // A route that looks something up for everybody says so itself.
    let is_paced = operation.responses.responses.remove("429").is_some();
    let may_be_nobody =
        is_paced || writes || !is_open(operation) || operation.responses.responses.contains_key("403");
    let may_refuse = [
        ("400", true, "The request cannot be read"),
        ("401", writes || names_something || !is_open(operation), "Nobody is known to send it"),
        ("403", writes || !is_open(operation), "No role lets the sender do this, or a policy forbids it"),
        ("404", names_something, "It is not there"),
        ("409", writes, "It was changed meanwhile, or something else is in the way"),
        ("413", writes, "It is too large"),
        ("422", writes, "It cannot be so"),
        (
            "429",
            may_be_nobody,
            "Too many requests that nobody is signed in for came from the sender's address",
        ),
        ("503", true, "The database does not answer"),
    ];
    for (status, _, why) in may_refuse.into_iter().filter(|(_, may, _)| *may) {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let mut response = ResponseBuilder::new().description(why).content("application/json", body);
        if status == "429" {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            let mut header = Header::new(seconds);
            header.description = Some("When to try it again, in seconds.".to_owned());
            response = response.header("Retry-After", header);
        }
        let response = response.build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}

fn is_of_path(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path)
}

/// Whether nobody needs to be signed in.
fn is_open(operation: &Operation) -> bool {
    let none = SecurityRequirement::default();
    operation.security.as_deref().is_some_and(|all| all.contains(&none))
}

/// One form for each kind, told apart by `kind`.
fn by_kind(description: &str, is_stored: bool) -> RefOr<Schema> {
    let forms = Kind::ALL.into_iter().fold(OneOfBuilder::new(), |forms, kind| {
        let (spec, status) = forms_of(kind);
        let metadata = if is_stored { "Metadata" } else { "DraftMetadata" };
        let of_kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind.as_str()]));
        let mut form = ObjectBuilder::new()
            .title(Some(kind.as_str()))
            .property("kind", of_kind)
            .property("metadata", Ref::from_schema_name(metadata))
            .property("spec", Ref::from_schema_name(spec))
            .required("kind")
            .required("metadata")
            .required("spec");
        form = if is_stored {
            form.property("status", Ref::from_schema_name(status)).required("status")
        } else {
            form.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        };
        forms.item(form)
    });
    RefOr::T(Schema::OneOf(forms.description(Some(description)).build()))
}

/// Names of the forms that belong to a kind.
const fn forms_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Organization => ("OrganizationSpec", "OrganizationStatus"),
        Kind::User => ("UserSpec", "UserStatus"),
        Kind::Group => ("GroupSpec", "GroupStatus"),
        Kind::Role => ("RoleSpec", "RoleStatus"),
        Kind::Policy => ("PolicySpec", "PolicyStatus"),
        Kind::Project => ("ProjectSpec", "ProjectStatus"),
        Kind::Runner => ("RunnerSpec", "RunnerStatus"),
        Kind::EnvironmentClass => ("ClassSpec", "ClassStatus"),
        Kind::Environment => ("EnvironmentSpec", "EnvironmentStatus"),
        Kind::Execution => ("ExecutionSpec", "ExecutionStatus"),
        Kind::Secret => ("SecretSpec", "SecretStatus"),
    }
}

/// A kind, as it is written in an address.
pub(super) struct PluralKind;

impl utoipa::PartialSchema for PluralKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A kind, as it is written in an address."))
            .enum_values(Some(Kind::ALL.map(Kind::plural)))
            .into()
    }
}

impl utoipa::ToSchema for PluralKind {}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Cove control plane",
        description = "The API of cove-control: HTTP with TLS 1.3 for people and runners, and on the unix socket `run/control.sock` of the state folder for the host itself, which needs no proof of who it is.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "resources", description = "What a team declares"),
        (name = "people", description = "People sign in"),
        (name = "runners", description = "Computers come in"),
        (name = "events", description = "What changes"),
        (name = "audit", description = "Who did what"),
        (name = "server", description = "The server itself"),
    ),
    paths(
        system::info,
        system::document,
        enrolments::enrol,
        enrolments::renew,
        wire::report,
        wire::sync,
        sign_in::sign_in,
        sign_in::callback,
        sign_in::sign_out,
        devices::begin,
        devices::poll,
        workloads::sign,
        workloads::rotate,
        workloads::configuration,
        workloads::keys,
        me::me,
        console::enter,
        console::link,
        tokens::list,
        tokens::make,
        tokens::make_for,
        tokens::take_back,
        resources::organizations,
        resources::apply,
        explain::explain,
        watch::watch,
        audit_log::all,
        audit_log::audit,
        audit_log::verify,
        audit_log::verify_for,
        enrolments::invite,
        enrolments::revoke,
        secrets::recipients,
        settle::settle,
        resources::list,
        resources::get,
        resources::put,
        resources::delete,
    ),
    components(schemas(
        PluralKind, api::ErrorBody,
        api::control::Metadata, api::control::DraftMetadata,
        OrganizationSpec, OrganizationStatus, UserSpec, UserStatus, GroupSpec, GroupStatus, RoleSpec, RoleStatus,
        PolicySpec, PolicyStatus, ProjectSpec, ProjectStatus, RunnerSpec, RunnerStatus, ClassSpec, ClassStatus,
        EnvironmentSpec, EnvironmentStatus, ExecutionSpec, ExecutionStatus, SecretSpec, SecretStatus,
    )),
)]
struct Annotated;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::super::{Table, routes, table, tests::served};
    use super::*;

    /// The console's types are made from the file, so that it can be built without a server.
    #[test]
    fn the_document_that_the_console_is_typed_by_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/control-openapi.json");
        let wanted = json() + "\n";
        if std::env::var_os("COVE_UPDATE_DOCS").is_some() {
            fs_err::write(path, &wanted).unwrap();
        }
        let written = fs_err::read_to_string(path).unwrap_or_default();
        assert!(written == wanted, "run the tests once with COVE_UPDATE_DOCS=1");
    }

    #[tokio::test]
    async fn the_document_has_every_route_and_no_other() {
        let (_folder, control) = served().await;
        let routes = routes(control);
        let document: Value = serde_json::from_str(&json()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let documented = document["paths"].as_object().unwrap();
        let Table(all) = table();
        let mut paths: Vec<_> = all.into_iter().map(|(path, _)| path).collect();
        paths.sort_unstable();
        let mut described: Vec<_> = documented.keys().collect();
        described.sort_unstable();
        assert_eq!(described, paths);
        for (path, operations) in documented {
            let concrete = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
            let concrete = concrete.collect::<Vec<_>>().join("/");
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let request = Request::builder().method(method).uri(&concrete).body(Body::empty()).unwrap();
                let answer = TowerToHyperService::new(routes.clone()).call(request).await.unwrap();
                let is_there = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
                let is_described = operations.get(method.to_lowercase()).is_some();
                assert_eq!(is_there, is_described, "{method} {path}: {}", answer.status());
            }
        }
    }

    #[test]
    fn all_that_it_refers_to_is_in_it() {
        fn look(value: &Value, document: &Value) {
            if let Some(named) = value.get("$ref").and_then(Value::as_str) {
                let pointer = named.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{named}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|field| look(field, document)),
                Value::Array(items) => items.iter().for_each(|item| look(item, document)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(&json()).unwrap();
        look(&document, &document);
    }

    #[test]
    fn each_operation_is_named_once_and_says_what_it_may_refuse() {
        let document: Value = serde_json::from_str(&json()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(
                    names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{method} {path}"
                );
                assert!(operation["responses"]["503"].is_object(), "{method} {path}");
                let is_open = operation["security"] == serde_json::json!([{}]) && method == "get";
                assert!(is_open || operation["responses"]["403"].is_object(), "{method} {path}");
            }
        }
    }
}
