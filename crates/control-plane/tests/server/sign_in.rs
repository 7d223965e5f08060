//! People sign in with a real identity provider: in a browser, and on a device without one.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use api::ProblemCode::{InvalidRequest, NotAllowed, NotSignedIn, SignInRefused};
use api::control::{Me, ServerInfo, TokenMade};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Computer;
use super::place::Place;
use super::provider::{Browser, Page, Provider, packages};
use super::{TEAM, ok, problem};

/// As `provider.mjs` knows it.
const SECRET: (&str, &str) = ("COVE_CONTROL_CLIENT_SECRET", "a secret: with + and %");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_browser_and_nobody_else_by_what_they_got() {
    let Some(packages) = packages() else { return };
    let place = Place::new();
    let mut provider = Provider::start(&place, packages);
    let server = place.serve_with(&provider.options("cove"), &[SECRET]);
    provider.serve(&server.address());
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let at = (server.port(), server.authority());
    let api = Computer::new(server.port(), server.authority());
    let info: ServerInfo = ok(api.get("/v1/info", None).await);
    assert_eq!(info.issuer.as_deref(), Some(provider.issuer.as_str()));
    let begin = |more: &str| format!("{}/v1/sign-in{more}", server.address());

    // The whole way, and back to where they wanted to be.
    let mut ann = Browser::new("ann", &provider, at);
    let back = ann.lead(&begin("?return_to=/projects%3Fx=1"), "/projects").await;
    assert_eq!(
        (back.uri.path(), back.uri.query(), back.status),
        ("/projects", Some("x=1"), StatusCode::SEE_OTHER)
    );
    let cookies = ann.cookies(server.port());
    assert!(cookies.starts_with("__Host-cove_session=") && !cookies.contains("sign_in"), "{cookies}");
    let ask = async |method: Method, path: &str, more: &[(&str, &str)], body: Value| {
        let headers: Vec<_> =
            [("cookie", cookies.as_str())].into_iter().chain(more.iter().copied()).collect();
        api.ask(method, path, &headers, &body).await
    };
    let me: Me = ok(ask(Method::GET, "/v1/me", &[], Value::Null).await);
    assert_eq!((me.principal.to_string().as_str(), me.scope), ("user ann", None));

    // Writes of that cookie come from pages of the server, and never from elsewhere.
    let token = json!({ "title": "ci", "lifetime": 600 });
    for site in ["cross-site", "same-site", "none"] {
        let refused = ask(Method::POST, "/v1/tokens", &[("sec-fetch-site", site)], token.clone()).await;
        assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "{site}");
    }
    let refused = ask(Method::POST, "/v1/tokens", &[("origin", "https://evil.example")], token.clone()).await;
    assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed));
    let made = ask(Method::POST, "/v1/tokens", &[("sec-fetch-site", "same-origin")], token).await;
    ok::<TokenMade>(made);

    // What came back once serves no more; nor in another browser, nor with another state.
    let mut bob = Browser::new("bob", &provider, at);
    let callback = bob.lead(&begin(""), "/v1/sign-in/callback").await.uri;
    let stolen = ann.request(Method::GET, &callback, "").await;
    assert_eq!(stolen.status(), StatusCode::FORBIDDEN, "another browser");
    assert!(String::from_utf8_lossy(stolen.body()).contains("not begun in this browser"));
    let query = callback.query().unwrap();
    let state = query.split('&').find(|pair| pair.starts_with("state=")).unwrap();
    let forged = callback.to_string().replace(state, "state=guessed").parse().unwrap();
    assert_eq!(bob.request(Method::GET, &forged, "").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(bob.request(Method::GET, &callback, "").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(bob.request(Method::GET, &callback, "").await.status(), StatusCode::FORBIDDEN, "once more");
    let mut again = Browser::new("bob", &provider, at);
    let second = again.lead(&begin(""), "/v1/sign-in/callback").await.uri;
    let code = |uri: &axum::http::Uri| {
        uri.query().unwrap().split('&').find(|pair| pair.starts_with("code=")).unwrap().to_owned()
    };
    let replayed = second.to_string().replace(&code(&second), &code(&callback)).parse().unwrap();
    let refused = again.request(Method::GET, &replayed, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "a code that was used");
    assert!(String::from_utf8_lossy(refused.body()).contains("invalid_grant"), "{refused:?}");
    let mixed = Browser::new("bob", &provider, at).lead(&begin(""), "/v1/sign-in/callback").await.uri;
    let iss = mixed.query().unwrap().split('&').find(|pair| pair.starts_with("iss=")).unwrap().to_owned();
    let mut other = Browser::new("bob", &provider, at);
    let page = other.lead(&begin(""), "/v1/sign-in/callback").await.uri;
    let forged = page.to_string().replace(&iss, "iss=https%3A%2F%2Fevil.example").parse().unwrap();
    let refused = other.request(Method::GET, &forged, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "another provider's answer");

    // Somebody unknown, and somebody whose address nobody verified, are told what an administrator does.
    for (name, word) in [("eve", "declares a User"), ("new-bob", "verify it")] {
        let Page { status, text, .. } = Browser::new(name, &provider, at).lead(&begin(""), "nowhere").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(text.contains(word) && text.contains("E0513"), "{text}");
    }
    for to in ["//evil.example", "https://evil.example", "%2F%5Cevil.example"] {
        let refused = api.get(&format!("/v1/sign-in?return_to={to}"), None).await;
        assert_eq!(problem(&refused), (StatusCode::BAD_REQUEST, InvalidRequest), "{to}");
    }

    // Over, suspended, signed out.
    let led_by_bob = TEAM.replace("subjects: [{ user: ann }]", "subjects: [{ user: bob }]");
    let suspended = led_by_bob.replace("ann@example.com", "ann@example.com, suspended: true");
    for (name, text) in [("led-by-bob.yaml", &led_by_bob), ("suspended.yaml", &suspended)] {
        place.ok(&["apply", "-f", &place.file(name, text)]);
    }
    assert_eq!(problem(&ask(Method::GET, "/v1/me", &[], Value::Null).await).1, NotSignedIn);
    let Page { status, text, .. } = ann.lead(&begin(""), "nowhere").await;
    assert!(status == StatusCode::FORBIDDEN && text.contains("ann is suspended"), "{text}");
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    ok::<Me>(ask(Method::GET, "/v1/me", &[], Value::Null).await);
    let theirs = ("sec-fetch-site", "same-origin");
    assert_eq!(ask(Method::POST, "/v1/sign-out", &[theirs], Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(problem(&ask(Method::GET, "/v1/me", &[], Value::Null).await).1, NotSignedIn);
    let bobs = bob.cookies(server.port());
    ok::<Me>(api.ask(Method::GET, "/v1/me", &[("cookie", &bobs)], &Value::Null).await);
    place.end_all("sessions");
    let late = api.ask(Method::GET, "/v1/me", &[("cookie", &bobs)], &Value::Null).await;
    assert_eq!(problem(&late), (StatusCode::UNAUTHORIZED, NotSignedIn));
    let log = place.ok(&["audit", "export"]);
    assert!(log.contains("verified address") && log.contains("sign_out"), "{log}");
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_on_a_device_and_commands_go_to_the_server_until_they_sign_out() {
    let Some(packages) = packages() else { return };
    let place = Place::new();
    let mut provider = Provider::start(&place, packages);
    // A client that has no secret.
    let server = place.serve_with(&provider.options("cove-public"), &[]);
    provider.serve(&server.address());
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let address = server.address();

    let api = Computer::new(server.port(), server.authority());
    let unknown = api.post("/v1/device/poll", &json!({ "device": "cove_device_guessed" }), None).await;
    assert_eq!(problem(&unknown), (StatusCode::FORBIDDEN, SignInRefused));

    let mut login = place.remote(&["login", &address, "--authority", server.authority()]);
    let mut login = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(login.stderr.take().unwrap()).lines();
    let page = said.find_map(|line| Some(line.unwrap().split_once("any computer: ")?.1.to_owned())).unwrap();
    let code = said.next().unwrap().unwrap();
    let mut browser = Browser::new("ann", &provider, (server.port(), server.authority()));
    let done = browser.lead(&page, "nowhere").await;
    assert!(done.status == StatusCode::OK && done.text.contains("Success"), "{code}: {}", done.text);
    let output = tokio::task::spawn_blocking(move || login.wait_with_output().unwrap()).await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?}", said.map(Result::unwrap).collect::<Vec<_>>());
    assert!(told.starts_with(&format!("You are ann of acme at {address}, until ")), "{told}");

    let (done, said) = place.elsewhere(&[], &["whoami"]);
    assert!(done && said.starts_with(&format!("user ann of acme at {address}")), "{said}");
    let (done, said) = place.elsewhere(&[], &["get", "projects"]);
    assert!(done && said.contains("shop"), "{said}");
    let (done, token) =
        place.elsewhere(&[], &["token", "create", "--title", "ci", "--verb", "get", "--lifetime", "90d"]);
    assert!(done && token.starts_with("cove_pat_"), "{token}");
    let file = place.path("config/cove-control/logins.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let login_token = kept["logins"][0]["token"].as_str().unwrap().to_owned();

    let (done, said) = place.elsewhere(&[], &["logout"]);
    assert!(done && said.contains("signed out"), "{said}");
    let bearer = format!("Bearer {login_token}");
    let gone = api.ask(Method::GET, "/v1/me", &[("authorization", &bearer)], &Value::Null).await;
    assert_eq!(problem(&gone), (StatusCode::UNAUTHORIZED, NotSignedIn), "the server took it back");
    let (done, said) = place.elsewhere(&[], &["get", "projects"]);
    assert!(!done && said.contains("cove-control login"), "{said}");
    let bearer = format!("Bearer {}", token.trim());
    let by_other: Me = ok(api.ask(Method::GET, "/v1/me", &[("authorization", &bearer)], &Value::Null).await);
    assert_eq!(by_other.principal.to_string(), "user ann", "a token for programs outlives the login");
    assert!(!place.ok(&["audit", "export"]).contains("cove_pat_"), "no secret is in the log");
}
