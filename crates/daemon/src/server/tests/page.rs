use api::PageAccess;
use tokio::net::TcpStream;

use super::*;

/// One request to the port of the page.
async fn ask(access: &PageAccess, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
    let address = access.url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    if !request.headers().contains_key("host") {
        request.headers_mut().insert("host", address.parse().unwrap());
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

fn with(mut request: Request<Full<Bytes>>, headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

async fn json_of(response: Response<Incoming>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap_or_default()
}

async fn access(served: &Served, audience: &str) -> PageAccess {
    let (status, body) = served.call("POST", "/v1/page", &json!({ "for": audience }).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn a_browser_comes_in_by_a_token_that_works_once_and_stays_by_its_session() {
    let served = Served::start();
    let access = access(&served, "browser").await;
    assert_eq!(ask(&access, request("GET", "/", "")).await.status(), StatusCode::OK);
    let refused = ask(&access, request("GET", "/v1/environments", "")).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let as_token = [("authorization", &*format!("Bearer {}", access.token))];
    let refused = ask(&access, with(request("GET", "/v1/environments", ""), &as_token)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "a token is no session");

    let swap = || request("POST", "/session", &json!({ "token": access.token }).to_string());
    let swapped = json_of(ask(&access, swap()).await).await;
    assert_eq!(ask(&access, swap()).await.status(), StatusCode::UNAUTHORIZED, "it works once");
    let bearer = format!("Bearer {}", swapped["token"].as_str().unwrap());
    let list = || with(request("GET", "/v1/environments", ""), &[("authorization", &bearer)]);
    assert_eq!(ask(&access, list()).await.status(), StatusCode::OK);

    let elsewhere = with(list(), &[("host", "evil.example")]);
    assert_eq!(ask(&access, elsewhere).await.status(), StatusCode::FORBIDDEN, "another name that leads here");
    let by_page = with(list(), &[("origin", "http://evil.example")]);
    assert_eq!(ask(&access, by_page).await.status(), StatusCode::FORBIDDEN);
    let answer = ask(&access, with(list(), &[("origin", "tauri://localhost")])).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "tauri://localhost");

    let (status, _) = served.call("DELETE", "/v1/page", "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&access, list()).await.status(), StatusCode::UNAUTHORIZED, "all sessions were ended");
}

#[tokio::test]
async fn a_page_that_is_open_goes_on_with_the_next_daemon() {
    let served = Served::start();
    let first = access(&served, "browser").await;
    let swap = request("POST", "/session", &json!({ "token": first.token }).to_string());
    let token = json_of(ask(&first, swap).await).await["token"].as_str().unwrap().to_owned();
    let Served { temp, shutdown, server, .. } = served;
    shutdown.cancel();
    server.await.unwrap().unwrap();
    // For a moment, a program that is just being started has what was open here when it was begun.
    let address = first.url.strip_prefix("http://").unwrap();
    let held = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(held) => break held,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
    });

    let next = Served::start_in(temp);
    // Served again before anybody asks for it: by the time a call is answered it is there.
    next.call("GET", "/v1/version", "").await;
    let bearer = format!("Bearer {token}");
    let answer =
        ask(&first, with(request("GET", "/v1/environments", ""), &[("authorization", &bearer)])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(access(&next, "app").await.url, first.url, "on the same port");
}

#[tokio::test]
async fn a_process_of_the_page_comes_over_a_websocket() {
    let served = Served::start();
    let (_, made) =
        served.call("POST", "/v1/environments", &json!({ "folder": served.folder("web") }).to_string()).await;
    assert_eq!(made["metadata"]["name"], "web");
    let access = access(&served, "app").await;
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = "/v1/environments/web/exec";
    let refused = ask(&access, with(request("GET", path, ""), &upgrade)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let protocols = format!("cove, token.{}", access.token);
    let asked = with(request("GET", path, ""), &upgrade);
    let answer = ask(&access, with(asked, &[("sec-websocket-protocol", &protocols)])).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "cove", "the token is not sent back");
    let plain = ask(
        &access,
        with(request("GET", path, ""), &[("authorization", &format!("Bearer {}", access.token))]),
    );
    assert_eq!(plain.await.status(), StatusCode::UPGRADE_REQUIRED);
}
