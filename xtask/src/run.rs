//! `cargo xtask run`: from a fresh checkout to an example that answers. `cargo xtask app`: to the app.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;

use crate::image::{self, ImageError};
use crate::output::say;
use crate::setup::{SetupError, setup, setup_for_the_app};
use crate::steps::{StepError, capture, cargo, run, step, target_folder};
use crate::ui::{self, UiError};

/// The example that is brought up.
const EXAMPLE: &str = "examples/flask-postgres";

/// The example did not come to answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error("could not build the guest image")]
    Image(#[from] ImageError),
    #[error("could not build the page")]
    Ui(#[from] UiError),
    #[error("could not bring the example up")]
    Step(#[from] StepError),
    #[error("`cove show` did not tell a port of the example on this computer")]
    NoPort,
    #[error("the example does not answer on port {port}")]
    NoAnswer { port: u16, source: std::io::Error },
}

/// Installs, builds, starts, and shows the answer of the example's web app.
pub(crate) fn example() -> Result<(), RunError> {
    setup()?;
    ui::build()?;
    image::build(&image::Options::default())?;
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout");
    step("Building Cove", || {
        run(cargo().current_dir(root).args(["build", "--locked", "-p", "cli", "-p", "daemon", "-p", "shim"]))
    })?;
    let programs = target_folder(root).join("debug");
    let cove = programs.join("cove");
    let example = root.join(EXAMPLE);
    step("Sharing the example's folder with the machine", || share(&cove, root))?;
    step("Bringing the example up", || run(Command::new(&cove).arg("up").arg(&example)))?;
    let port = port_of(&capture(Command::new(&cove).args(["show", "--json"]).arg(&example))?)
        .ok_or(RunError::NoPort)?;
    let answer = fetch(port).map_err(|source| RunError::NoAnswer { port, source })?;
    say(format!("\nThe web app of the example answers on http://localhost:{port}:\n"));
    answer.lines().take(40).for_each(|line| say(format!("    {line}")));
    say(format!(
        "\nNext:\n    export PATH=\"{programs}:$PATH\"\n    cove ls\n    cove shell flask-postgres\n    cove up ~/src/your-project\n    \
         cove docker context    # then: docker --context cove run …\n    cove machine stop      # gives all memory back"
    ));
    Ok(())
}

/// Installs, builds and opens the app, and waits until a person quits it.
pub(crate) fn app() -> Result<(), RunError> {
    setup()?;
    setup_for_the_app()?;
    ui::build()?;
    image::build(&image::Options::default())?;
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout");
    step("Building Cove and its app", || {
        let packages = ["cli", "daemon", "shim", "app"].iter().flat_map(|package| ["-p", package]);
        run(cargo().current_dir(root).args(["build", "--locked"]).args(packages))
    })?;
    say("==> The app is in the menu bar, or the panel, of this desktop until you quit it there");
    Ok(run(&mut Command::new(target_folder(root).join("debug").join("cove-app")))?)
}

/// The home folder is shared by itself; a checkout elsewhere is added.
fn share(cove: &Utf8Path, root: &Utf8Path) -> Result<(), StepError> {
    let home = std::env::var("HOME").unwrap_or_default();
    if !home.is_empty() && root.starts_with(&home) {
        return Ok(());
    }
    run(Command::new(cove).args(["machine", "share"]).arg(root))
}

/// The first forwarded port in the JSON of an environment.
fn port_of(environment: &str) -> Option<u16> {
    let environment: serde_json::Value = serde_json::from_str(environment).ok()?;
    let ports = environment.pointer("/status/ports")?.as_array()?;
    ports.iter().find_map(|port| u16::try_from(port.get("host_port")?.as_u64()?).ok())
}

/// The body of `GET /` from this computer's loopback.
fn fetch(port: u16) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.contains(" 200") {
        Ok(body.to_owned())
    } else {
        Err(std::io::Error::other(format!("it said `{status}`")))
    }
}
