//! What a request of a person carries: a token that programs send, or the cookie of a browser.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method};

use crate::identity::Token;

/// The cookie of a session. Browsers take a name that begins so from this very host alone, over TLS, for all paths.
pub(super) const SESSION: &str = "__Host-cove_session";

/// What a request says about who sends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A program's token.
    Bearer(Token),
    /// A browser's session.
    Session(Token),
    /// A browser's session, with a write that another site may have made it send.
    CrossSite,
    /// Something that cannot be read.
    Unreadable,
    /// Nothing.
    None,
}

/// Reads them. A request with both is the program's: no browser adds the header by itself.
pub(super) fn of(parts: &Parts) -> Credentials {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        return bearer(header).map_or(Credentials::Unreadable, Credentials::Bearer);
    }
    match cookie(&parts.headers, SESSION) {
        None => Credentials::None,
        Some(_) if !is_safe(&parts.method) && !is_same_origin(parts) => Credentials::CrossSite,
        Some(session) => Credentials::Session(Token::shown(session)),
    }
}

fn bearer(header: &HeaderValue) -> Option<Token> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| Token::shown(token))
}

/// A cookie by name, if it is there once: two of one name are somebody's trick.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let pairs = pairs.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(named, _)| *named == name).map(|(_, value)| value);
    found.next().filter(|_| found.next().is_none())
}

/// A header that sets a cookie, for so many seconds; none takes it away.
pub(super) fn set_cookie(name: &str, value: &str, seconds: i64) -> HeaderValue {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::from_str(&text).expect("tokens are of letters that headers can have")
}

/// Methods that change nothing. A browser may be sent here from anywhere with these.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a page of this server made the browser send it. What says nothing about that is no browser of today.
pub(super) fn is_same_origin(parts: &Parts) -> bool {
    if let Some(site) = parts.headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let of_uri = parts.uri.authority().map(Authority::as_str);
    let host = of_uri.or_else(|| parts.headers.get(HOST).and_then(|host| host.to_str().ok()));
    let origin = parts.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    match (origin.and_then(|origin| origin.strip_prefix("https://")), host) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn read(method: &str, headers: &[(&str, &str)]) -> Credentials {
        let mut request =
            Request::builder().method(method).uri("/v1/tokens").header("host", "c.example:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_program_shows_its_token_and_nothing_falls_back_to_a_cookie() {
        let token = Credentials::Bearer(Token::shown("t"));
        assert_eq!(read("POST", &[("authorization", "bearer t")]), token);
        let both = [("authorization", "Bearer t"), ("cookie", "__Host-cove_session=s")];
        assert_eq!(read("POST", &both), token);
        for odd in ["Basic YTpi", "Bearer", "Bearer ", ""] {
            let both = [("authorization", odd), ("cookie", "__Host-cove_session=s")];
            assert_eq!(read("GET", &both), Credentials::Unreadable, "{odd}");
        }
    }

    #[test]
    fn a_browser_writes_only_from_a_page_of_this_server() {
        let cookie = ("cookie", "a=b; __Host-cove_session=s");
        let session = Credentials::Session(Token::shown("s"));
        assert_eq!(read("GET", &[cookie]), session);
        for (headers, is_let) in [
            (vec![], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://c.example:8443")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("origin", "https://c.example:8443")], true),
            (vec![("origin", "https://c.example")], false),
            (vec![("origin", "http://c.example:8443")], false),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "null")], false),
        ] {
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let all: Vec<_> = headers.iter().copied().chain([cookie]).collect();
                let wanted = if is_let { &session } else { &Credentials::CrossSite };
                assert_eq!(&read(method, &all), wanted, "{method} {headers:?}");
            }
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        for cookies in ["__Host-cove_session=a; __Host-cove_session=b", "cove_session=a", "x", ""] {
            assert_eq!(read("GET", &[("cookie", cookies)]), Credentials::None, "{cookies}");
        }
    }
}
