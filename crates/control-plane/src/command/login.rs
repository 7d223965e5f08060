//! `cove-control login` and `logout`.

use std::time::Duration;

use api::control::{DeviceAnswer, DeviceCode, DevicePoll, DeviceRequest};
use api::{Problem, ProblemCode};
use axum::http::Method;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Remote, parsed, success, unexpected};
use super::logins::{Login, Logins, Server};
use super::resources::say;
use super::shown;

/// Signs in: the person does in a browser, wherever they have one.
pub(super) async fn login(remote: &Remote, address: &str) -> Result<(), Problem> {
    // What is known of a server counts until something else is said of it.
    let mut logins = Logins::read()?;
    let server = Server::new(address, remote.authority())?;
    let former = logins.of(server.address()).and_then(|login| login.authority.clone());
    let authority = remote.authority().map(ToOwned::to_owned).or(former);
    let server = Server::new(address, authority.as_deref())?;

    let asked = DeviceRequest { organization: remote.named().cloned(), title: Some(title()) };
    let code: DeviceCode = post(&server, "/v1/device", &asked).await?;
    let page = code.verification_uri_complete.as_ref().unwrap_or(&code.verification_uri);
    shown::aside(&format!("Open this page in a browser, on any computer: {page}"));
    shown::aside(&format!("It asks for this code, or shows it: {}", code.user_code));
    let (organization, made) = wait(&server, &code).await?;
    let (user, expires_at) = (made.about.user, made.about.expires_at);
    logins.put(Login {
        server: server.address().to_owned(),
        authority,
        organization: organization.clone(),
        user: user.clone(),
        token: made.token,
        id: made.about.id,
        expires_at,
    });
    logins.write()?;
    let until = expires_at.strftime("%Y-%m-%d");
    say(&format!("You are {user} of {organization} at {}, until {until}.\n", server.address()))
}

async fn wait(server: &Server, code: &DeviceCode) -> Result<(api::Name, api::control::TokenMade), Problem> {
    let mut interval = code.interval;
    while Timestamp::now() < code.expires_at {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        match post(server, "/v1/device/poll", &DevicePoll { device: code.device.clone() }).await {
            Ok(DeviceAnswer::SignedIn { organization, made }) => return Ok((organization, *made)),
            Ok(DeviceAnswer::Pending { interval: wanted }) => interval = wanted,
            // A network that breaks off for a moment ends no sign-in, nor do others who come from the same address.
            Err(problem)
                if matches!(
                    problem.code,
                    ProblemCode::ControlPlaneUnreachable | ProblemCode::TooManyRequests
                ) =>
            {
                shown::aside(&problem.title);
            }
            Err(problem) => return Err(problem),
        }
    }
    Err(Problem::new(ProblemCode::SignInRefused, "nobody signed in with the code in time")
        .with_command("begin again", format!("cove-control login {}", server.address())))
}

/// Signs out: the server takes the token back, and this computer forgets it.
pub(super) async fn logout(address: Option<&str>) -> Result<(), Problem> {
    let mut logins = Logins::read()?;
    let login = match address {
        None => logins.only()?,
        Some(address) => logins.of(Server::new(address, None)?.address()),
    };
    let Some(login) = login.cloned() else { return say("You are signed in to no such server.\n") };
    let answer = Server::of(&login)?.send(Method::POST, "/v1/sign-out", Bytes::new()).await?;
    match success(answer) {
        Ok(_) => {}
        // It is over, or was taken back before.
        Err(problem) if problem.code == ProblemCode::NotSignedIn => {}
        Err(problem) => return Err(problem),
    }
    logins.remove(&login.server);
    logins.write()?;
    say(&format!("{} of {} is signed out of {}.\n", login.user, login.organization, login.server))
}

async fn post<T: DeserializeOwned>(server: &Server, path: &str, body: &impl Serialize) -> Result<T, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| unexpected(&error))?;
    parsed(&success(server.send(Method::POST, path, body.into()).await?)?)
}

/// What the token is called, so that whoever looks at the list knows it again.
fn title() -> String {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "cove-control login".to_owned(),
        name => format!("cove-control login on {name}"),
    }
}
