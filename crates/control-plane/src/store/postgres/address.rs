//! Where a database is, and how one comes to it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use percent_encoding::percent_decode_str;
use postgres::config::{Host, SslMode};
use postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Trust};
use crate::store::StoreError;

/// How an address begins.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// How long a server may take to be reached.
const REACHED: Duration = Duration::from_secs(5);

/// A connection over which nothing came for so long is asked whether it still is one.
const SILENT: Duration = Duration::from_secs(30);

/// How long what was sent may wait to be acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_mins(1);

/// An address, with a password in it: it is told to nobody.
pub(in crate::store) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    /// What of it may be told.
    place: String,
}

/// It could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to PostgreSQL at {place}{hint}")]
struct Unreachable {
    place: String,
    hint: &'static str,
    source: postgres::Error,
}

impl Address {
    /// Whether a text is meant to be such an address.
    pub(in crate::store) fn is_meant(text: &str) -> bool {
        SCHEMES.iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, without a word of it that might be a part of the password.
    pub(in crate::store) fn parse(text: &str) -> Result<Self, StoreError> {
        parse(text).map_err(|reason| StoreError::Unsuitable { reason })
    }

    /// Connects; blocks.
    pub(super) fn connect(&self) -> Result<Client, StoreError> {
        self.config.connect(self.tls.clone()).map_err(|source| {
            let said = source.to_string();
            let without_tls = std::error::Error::source(&source)
                .is_some_and(|cause| cause.to_string().contains("does not support TLS"));
            let hint = if without_tls {
                ", which has no TLS; where the network between is trusted, end its address with `?sslmode=disable`"
            } else if said.contains("TLS") {
                ", whose TLS is not trusted; name who signs its certificate with `sslrootcert=FILE`"
            } else {
                ""
            };
            StoreError::Unavailable(Box::new(Unreachable { place: self.place.clone(), hint, source }))
        })
    }
}

fn parse(text: &str) -> Result<Address, String> {
    let form = "an address of PostgreSQL is `postgres://USER:PASSWORD@HOST/DATABASE`, with what is special in the password \
                written as `%40` for `@`, `%2F` for `/`, `%3F` for `?`, `%23` for `#`";
    let (rest, query) = text.split_once('?').unwrap_or((text, ""));
    let (_, rest) = rest.split_once("://").ok_or(form)?;
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    // Otherwise a part of the password would be taken for the name of a host, a database or an option.
    if authority.matches('@').count() > 1
        || [database, query].iter().any(|part| part.contains('@'))
        || rest.contains('#')
    {
        return Err(form.to_owned());
    }
    let (mut sslmode, mut root, mut others) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let value = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
        match pair.split_once('=') {
            Some(("sslmode", mode)) => sslmode = Some(value(mode)),
            Some(("sslrootcert", file)) => root = Some(Utf8PathBuf::from(value(file))),
            _ => others.push(pair),
        }
    }
    let plain = format!("postgres://{rest}?{}", others.join("&"));
    let mut config = Config::from_str(&plain).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{cause}; {form}")
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(format!("it names no host; {form}"));
    }
    let (mode, trust) = how_private(&config, sslmode.as_deref(), root)?;
    config.ssl_mode(mode);
    if config.get_application_name().is_none() {
        config.application_name("cove-control");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(REACHED);
    }
    config.keepalives_idle(SILENT).keepalives_interval(SILENT / 3).keepalives_retries(3);
    config.tcp_user_timeout(ACKNOWLEDGED);
    let place = place(&config);
    Ok(Address { tls: tls::connector(trust)?, config, place })
}

/// As `libpq` has it, but for what it does unasked: to another computer nothing goes that others could read or change.
fn how_private(
    config: &Config,
    sslmode: Option<&str>,
    root: Option<Utf8PathBuf>,
) -> Result<(SslMode, Trust), String> {
    let sockets = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    if sockets && config.get_hostaddrs().is_empty() {
        return Ok((SslMode::Disable, Trust::Anybody));
    }
    Ok(match (sslmode, root) {
        (Some("disable"), _) => (SslMode::Disable, Trust::Anybody),
        (Some("allow" | "prefer"), _) => (SslMode::Prefer, Trust::Anybody),
        (Some("require"), None) => (SslMode::Require, Trust::Anybody),
        (Some("require" | "verify-ca"), Some(root)) => (SslMode::Require, Trust::SignedBy(root)),
        (Some("verify-ca"), None) => return Err("`sslmode=verify-ca` needs `sslrootcert=FILE`".to_owned()),
        (None, None) if is_this_computer(config) => (SslMode::Prefer, Trust::Anybody),
        (Some("verify-full") | None, root) => (SslMode::Require, Trust::NamedAndSignedBy(root)),
        (Some(_), _) => {
            return Err(
                "`sslmode` is one of disable, allow, prefer, require, verify-ca, verify-full".to_owned()
            );
        }
    })
}

fn is_this_computer(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    };
    config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Hosts, ports and the database.
fn place(config: &Config) -> String {
    let mut place = String::new();
    let ports = config.get_ports();
    for (at, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(at).or(ports.first()).unwrap_or(&5432);
        let between = if at > 0 { "," } else { "" };
        // Writing into a string does not fail.
        let _ = match host {
            Host::Tcp(host) => write!(place, "{between}{host}:{port}"),
            Host::Unix(folder) => write!(place, "{between}{}/.s.PGSQL.{port}", folder.display()),
        };
    }
    if place.is_empty() {
        place = config.get_hostaddrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    }
    if let Some(database) = config.get_dbname() {
        let _ = write!(place, " (database {database})");
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn another_computer_is_spoken_with_in_private_unless_one_says_otherwise() {
        for (text, mode) in [
            ("postgres://ada@/cove?host=/run/postgresql", SslMode::Disable),
            ("postgres://ada@%2Frun%2Fpostgresql/cove?sslmode=require", SslMode::Disable),
            ("postgresql://ada@localhost/cove", SslMode::Prefer),
            ("postgresql://ada@127.0.0.1:1/cove", SslMode::Prefer),
            ("postgresql://ada@[::1]:1/cove", SslMode::Prefer),
            ("postgres://ada@db/cove", SslMode::Require),
            ("postgres://ada@db/cove?sslmode=disable", SslMode::Disable),
            ("postgres://ada@db/cove?sslmode=prefer", SslMode::Prefer),
            ("postgres://ada@db/cove?sslmode=require&application_name=a", SslMode::Require),
            ("postgres://ada@db,localhost/cove", SslMode::Require),
        ] {
            assert_eq!(parsed(text).config.get_ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn a_place_is_told_without_its_password() {
        let address = parsed("postgres://ada:s3cret%40%2F@db.example:6432,other/cove");
        assert_eq!(address.place, "db.example:6432,other:5432 (database cove)");
        assert_eq!(address.config.get_password(), Some(b"s3cret@/".as_slice()));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for text in [
            "postgres://ada:s3cret@s3cret@db/cove",
            "postgres://ada:s3cret/s3cret@db/cove",
            "postgres://ada:s3cret?s3cret@db/cove",
            "postgres://ada:s3cret#s3cret@db/cove",
            "postgres://ada:s3cret@db:s3cret/cove",
            "postgres://ada:s3cret@db/cove?sslmode=s3cret",
            "postgres://ada:s3cret@db/cove?sslmode=verify-ca",
            "postgres://ada:s3cret@db/cove?connect_timeout=s3cret",
            "postgres://ada:s3cret@db/cove?sslrootcert=/nowhere.pem",
            "postgres://ada:s3cret@/cove",
        ] {
            let Err(StoreError::Unsuitable { reason }) = Address::parse(text) else { panic!("{text}") };
            assert!(!reason.contains("s3cret"), "{text}: {reason}");
        }
    }
}
