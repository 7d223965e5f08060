//! The console: files that a browser loads, and that then call the API as anybody does.
//!
//! They say nothing that not everybody may know, so they are served to everybody; who sits before the browser is known by
//! the cookie of their session.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, Method, Uri};
use axum::response::{IntoResponse, Response};

use super::answer;

/// Where the console may get what from: here, and nowhere else. Nobody may show it within another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page that was opened by another cannot be reached by it.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The console's files, by their names.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What is under no other route: a file of the console, or nothing.
pub(super) async fn page(method: Method, uri: Uri) -> Response {
    let name = match uri.path().trim_start_matches('/') {
        "" => "control.html",
        name => name,
    };
    match FILES.iter().find(|(known, _)| *known == name) {
        Some((name, content)) if matches!(method, Method::GET | Method::HEAD) => file(name, content),
        Some(_) => answer::no_method(method, uri).await,
        None => answer::no_route(&method, &uri),
    }
}

/// Names with a digest in them never change what they name.
fn file(name: &str, content: &'static [u8]) -> Response {
    let kept = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (CONTENT_TYPE, kind_of(name)),
        (CACHE_CONTROL, kept),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
    ];
    (headers, content).into_response()
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::super::routes;
    use super::super::tests::served;
    use super::*;

    #[tokio::test]
    async fn the_console_loads_nothing_from_elsewhere_and_is_no_route_of_the_api() {
        let (_folder, control) = served().await;
        let routes = routes(control);
        let get = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            TowerToHyperService::new(routes.clone()).call(request).await.unwrap()
        };
        let page = get("GET", "/").await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[CACHE_CONTROL], "no-store");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert_eq!(get("POST", "/").await.status(), StatusCode::METHOD_NOT_ALLOWED);
        for path in ["/../Cargo.toml", "/assets", "/v1", "/v1/nothing", "/%2e%2e/etc/passwd"] {
            let answer = get("GET", path).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json", "{path}");
        }
        assert_eq!(get("GET", "/%ff").await.status(), StatusCode::BAD_REQUEST);
    }
}
