//! What a person sees whose request leads nowhere.

use std::fmt::Write as _;

use api::PortStatus;
use hyper::Response;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};

use super::server::{Body, whole};

/// A page with what is wrong, and with the ports there are.
pub(super) fn of(status: StatusCode, words: &str, ports: &[(String, PortStatus)]) -> Response<Body> {
    let mut html =
        format!("<!doctype html><meta charset=utf-8><title>Cove</title><h1>{}</h1>", escaped(words));
    let mut environment = None;
    for (name, port) in ports {
        let Some(address) = &port.address else { continue };
        if environment != Some(name) {
            environment = Some(name);
            write!(html, "<h2>{}</h2>", escaped(name)).expect("writing to a string cannot fail");
        }
        let (address, inside) = (escaped(address), escaped(&port.inside()));
        let label = port.label.as_deref().map(|label| format!(" {}", escaped(label))).unwrap_or_default();
        let state = if port.listening { "" } else { " (nobody listens)" };
        write!(html, "<p><a href=\"{address}\">{address}</a> {inside}{label}{state}</p>")
            .expect("writing to a string cannot fail");
    }
    let mut response = Response::new(whole(html));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Names and labels come from repositories.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn no_text_of_a_repository_becomes_markup() {
        let port = PortStatus {
            address: Some("http://\"><script>".into()),
            label: Some("<img src=x onerror='x'>".into()),
            service: Some("a&b".into()),
            ..PortStatus::new(80)
        };
        let page = of(StatusCode::NOT_FOUND, "no <b>", &[("<i>".to_owned(), port)]);
        let text = page.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        for markup in ["<script", "<img", "<i>", "<b>", "a&b"] {
            assert!(!text.contains(markup), "{text}");
        }
        assert!(text.contains("&lt;img src=x onerror=&#39;x&#39;&gt;"), "{text}");
    }
}
