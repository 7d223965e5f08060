//! Registries that name another's host for a token.

use oci::{AuthHosts, Options, Registry};

use crate::support::{Reply, Server, User, artifact};

/// A token server that gives a token, or sends people on to where it does.
fn token_server() -> Server {
    Server::start(|own, request| match request.line.split('?').next() {
        Some("GET /token") => Reply::new(200, r#"{"token":"t0"}"#),
        Some("GET /elsewhere") => Reply::new(302, "").with("Location", format!("http://{own}/token")),
        _ => Reply::new(404, ""),
    })
}

/// A registry that wants tokens from there.
fn registry(realm: String) -> Server {
    Server::start(move |_, request| match request.header("authorization") {
        "Bearer t0" => Reply::new(200, artifact("x").manifest()),
        _ => Reply::new(401, "{}").with("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="s""#)),
    })
}

#[tokio::test]
async fn a_foreign_token_server_is_asked_only_where_it_is_trusted() {
    let (tokens, user) = (token_server(), User::new());
    let reach = async |server: &Server, auth_hosts: AuthHosts| {
        let client = Registry::new(Options { auth_hosts, ..user.options() }).unwrap();
        let name = format!("{}/a/b:1", server.address).parse().unwrap();
        client.manifest(&name).await.map(drop).map_err(|error| error.to_string())
    };
    let server = registry(format!("http://{}/token", tokens.address));
    let refused = reach(&server, AuthHosts::Known(Vec::new())).await.unwrap_err();
    let pair = format!("{}={}", server.address, tokens.address);
    assert!(refused.contains(&format!("trust `{pair}` if it is")), "{refused}");
    assert_eq!(tokens.lines(), Vec::<String>::new(), "it was asked");
    reach(&server, AuthHosts::Known(vec![pair.parse().unwrap()])).await.unwrap();
    reach(&server, AuthHosts::Any).await.unwrap();

    let further = registry(format!("http://{}/elsewhere", tokens.address));
    let pair = format!("{}={}", further.address, tokens.address);
    let asked = tokens.lines().len();
    reach(&further, AuthHosts::Known(vec![pair.parse().unwrap()])).await.unwrap_err();
    assert_eq!(tokens.lines().len(), asked + 1, "it sent us on: {:?}", tokens.lines());
    reach(&further, AuthHosts::Any).await.unwrap();
}
