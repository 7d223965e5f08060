//! `cove-control serve`: one process, on one state folder.

use std::sync::Arc;
use std::time::Duration;

use api::{Problem, ProblemCode};
use camino::Utf8Path;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::arguments::ServeOptions;
use crate::identity::{Authority, Provider, ProviderOptions};
use crate::resources;
use crate::server::{self, Control, Door};
use crate::store::{Database, StoreError};
use crate::sync::Fleet;

/// The database in the state folder.
pub(super) const DATABASE: &str = "control.db";

/// Names a PostgreSQL server in the place of that: from the environment alone, since a password may be in it.
pub(super) const DATABASE_URL: &str = "DATABASE_URL";

/// Names a file with that server's password, so that it need not be in the address.
const PASSWORD_FILE: &str = "DATABASE_PASSWORD_FILE";

/// What proves to the provider that it is this server that asks: from the environment alone.
const CLIENT_SECRET: &str = "COVE_CONTROL_CLIENT_SECRET";

/// How often what is over is forgotten.
const FORGET: std::time::Duration = std::time::Duration::from_hours(1);

/// The database that this server has.
pub(super) async fn open(home: &Utf8Path) -> Result<Database, Problem> {
    match std::env::var(DATABASE_URL) {
        Ok(url) if !url.is_empty() => Ok(Database::open(&with_password(url)?).await?),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(Database::sqlite(&home.join(DATABASE))?),
        Err(error) => Err(failed("DATABASE_URL cannot be read", &error)),
    }
}

/// The address with the password that a file has, where one is named: other programs can read what is in an environment.
fn with_password(url: String) -> Result<String, Problem> {
    let file = match std::env::var(PASSWORD_FILE) {
        Ok(file) if !file.is_empty() => file,
        Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(url),
        Err(error) => return Err(failed("DATABASE_PASSWORD_FILE cannot be read", &error)),
    };
    let password = fs_err::read_to_string(&file)
        .map_err(|error| failed("the file that DATABASE_PASSWORD_FILE names cannot be read", &error))?;
    let password = utf8_percent_encode(password.trim_end_matches(['\r', '\n']), NON_ALPHANUMERIC);
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{joint}password={password}"))
}

/// Runs until it is told to end.
pub(super) async fn serve(home: &Utf8Path, options: ServeOptions) -> Result<(), Problem> {
    private_folder(home)?;
    private_folder(&home.join("run"))?;
    let _lock = lock(home)?;
    let database = open(home).await?;
    let authority = database.write(|transaction| Authority::of(transaction, Timestamp::now())).await;
    let authority = authority.map_err(|error| failed("the server's authority cannot be used", &error))?;
    let fleet = Fleet::start(&database).await?;
    let provider = provider(&options)?.map(Arc::new);
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|error| {
        failed(&format!("cannot listen on {}", options.listen), &error)
            .with_hint("another program has the port, or it needs a privilege: choose one with --listen")
    })?;
    let port = listener.local_addr().map_or(options.listen.port(), |address| address.port());
    let name = options.names.first().map_or("localhost", String::as_str);
    let address = match &options.address {
        Some(address) => address_of(address)?,
        None => format!("https://{name}:{port}"),
    };
    let shutdown = CancellationToken::new();
    let control = Control {
        database,
        authority: Arc::new(authority),
        provider,
        address: address.into(),
        worlds: Arc::default(),
        pace: Arc::default(),
        fleet,
        now: Timestamp::now,
        shutdown: shutdown.clone(),
    };
    tracing::info!(address = %control.address, authority = control.authority.fingerprint(), "serving");
    let routes = server::routes(control.clone());
    let (fleet, database) = (control.fleet.clone(), control.database.clone());
    let ending = shutdown.clone();
    tokio::spawn(async move { fleet.follow(database, Timestamp::now, ending).await });
    let socket = home.join("run/control.sock");
    tokio::spawn(end_on_signal(shutdown.clone()));
    tokio::spawn(tidy(control.clone()));
    tokio::spawn(forget(control.clone()));
    let local = server::local(routes.clone(), &socket, shutdown.clone());
    let door = Door { listener, names: options.names, is_behind_balancer: options.behind_balancer };
    let served = tokio::try_join!(local, server::tls(control, routes, door));
    shutdown.cancel();
    served.map(drop).map_err(|error| failed("the server cannot serve", &error))
}

/// Each minute wishes those environments away that nobody used for as long as a policy says. Several servers on one database
/// do no harm to each other by that: each finds what is still there.
async fn tidy(control: Control) {
    let mut each_minute = tokio::time::interval(Duration::from_mins(1));
    loop {
        tokio::select! {
            _ = each_minute.tick() => {}
            () = control.shutdown.cancelled() => return,
        }
        let now = (control.now)();
        // Whoever writes keeps all others from writing, so it is looked first whether there is anything to write.
        let found = control.database.read(move |transaction| resources::unused(transaction, now)).await;
        let done = match found {
            Ok(found) if found.is_empty() => continue,
            Ok(_) => {
                let fleet = control.fleet.clone();
                control.database.write(move |transaction| fleet.delete_unused(transaction, now)).await
            }
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(environments) => tracing::info!(environments, "environments that nobody used go"),
            Err(error) => tracing::warn!(%error, "it cannot be seen which environments nobody uses"),
        }
    }
}

/// The identity provider that was named.
fn provider(options: &ServeOptions) -> Result<Option<Provider>, Problem> {
    let (Some(issuer), Some(client)) = (&options.issuer, &options.client_id) else { return Ok(None) };
    if !issuer.starts_with("https://") || issuer.contains(['?', '#']) {
        let title = format!("`{issuer}` is no identity provider");
        return Err(Problem::new(ProblemCode::InvalidRequest, title).with_hint(
            "it looks like https://id.example.com; what is signed there is worth nothing without TLS",
        ));
    }
    let authorities = options
        .issuer_authority
        .as_ref()
        .map(|file| fs_err::read(file).map_err(|error| failed(&format!("{file} cannot be read"), &error)));
    let provider = Provider::new(ProviderOptions {
        issuer: issuer.clone(),
        client: client.clone(),
        secret: std::env::var(CLIENT_SECRET).ok().filter(|secret| !secret.is_empty()),
        authorities: authorities.transpose()?,
    })?;
    Ok(Some(provider))
}

/// An address that was given, without what does not belong to it.
fn address_of(text: &str) -> Result<String, Problem> {
    let address = text.trim_end_matches('/');
    let uri: Result<axum::http::Uri, _> = address.parse();
    let is_one = uri.is_ok_and(|uri| {
        let is_host_alone = matches!(uri.path(), "" | "/") && uri.query().is_none();
        uri.scheme_str() == Some("https") && uri.host().is_some() && is_host_alone
    });
    if is_one {
        return Ok(address.to_owned());
    }
    Err(Problem::new(ProblemCode::InvalidRequest, format!("`{text}` is no address of a server"))
        .with_hint("it looks like https://control.example.com"))
}

/// Forgets what is over: sign-ins that were never finished, sessions, tokens.
async fn forget(control: Control) {
    let mut hourly = tokio::time::interval(FORGET);
    loop {
        tokio::select! {
            _ = hourly.tick() => {}
            () = control.shutdown.cancelled() => return,
        }
        let now = (control.now)();
        let forgotten = control
            .database
            .write(move |transaction| -> Result<u64, StoreError> { transaction.forget_expired(now) });
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "what is over could not be forgotten");
        }
    }
}

/// Ends at ctrl-c, and when the system ends it.
async fn end_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("ending");
    shutdown.cancel();
}

/// A folder that nobody else can look into: the authority's key is in it.
pub(super) fn private_folder(folder: &Utf8Path) -> Result<(), Problem> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))).map_err(
        |error| failed(&format!("{folder} cannot be made"), &error).with_hint("choose another with --home"),
    )
}

/// One server at a time.
pub(super) fn lock(home: &Utf8Path) -> Result<fs_err::File, Problem> {
    let path = home.join("control.lock");
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed(&format!("{path} cannot be opened"), &error))?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let title = format!("a server runs on {home} already");
            Err(Problem::new(ProblemCode::Conflict, title)
                .with_hint("stop it first, or name another folder with --home"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(&format!("{path} cannot be locked"), &error)),
    }
}

pub(super) fn failed(title: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::Internal, title).caused_by(error)
}
