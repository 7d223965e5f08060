//! `cove ports https`

use api::{Https, Problem, ProblemCode};
use camino::Utf8Path;
use client::Client;

use crate::arguments::Switch;
use crate::context::Context;
use crate::failure::Failure;

pub(super) async fn run(
    context: &Context,
    client: &Client,
    switch: Option<Switch>,
    trust: bool,
) -> Result<(), Failure> {
    let before = client.https().await?;
    let https = match switch {
        None => before.clone(),
        Some(switch) => client.set_https(switch == Switch::On).await?,
    };
    match (&https.certificate, &before.certificate) {
        (Some(certificate), _) if trust => add_trust(certificate)?,
        (None, Some(certificate)) => {
            let words = "If you let programs trust the authority, take that back:";
            context.output.note(&format!("{words}\n  {}", take_back(certificate, cfg!(target_os = "macos"))));
        }
        (Some(_) | None, _) => {}
    }
    context.output.show(&https, |_| text(&https, trust, cfg!(target_os = "macos")))
}

fn text(https: &Https, trusted: bool, on_a_mac: bool) -> String {
    let Some(certificate) = &https.certificate else {
        return "Names of ports are served by http alone.".to_owned();
    };
    let mut text =
        format!("Names of ports are served by https too. The authority's certificate:\n  {certificate}");
    if !trusted {
        let words = "It is good for names below cove.localhost alone. To let programs trust it:";
        for line in [words, &command(certificate, on_a_mac).join(" ")] {
            text.push('\n');
            text.push_str(line);
        }
        if !on_a_mac {
            text.push_str(
                "\nFirefox and Chromium have stores of their own: add it there as an authority for websites.",
            );
        }
    }
    text
}

/// What lets programs trust a certificate.
fn command(certificate: &Utf8Path, on_a_mac: bool) -> Vec<String> {
    let words: &[&str] = if on_a_mac {
        // For this user, and for servers alone.
        &["security", "add-trusted-cert", "-r", "trustRoot", "-p", "ssl"]
    } else {
        &["sudo", "install", "-m", "644"]
    };
    let mut command: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    command.push(quoted(certificate));
    if !on_a_mac {
        let rest = "/usr/local/share/ca-certificates/cove-authority.crt && sudo update-ca-certificates";
        command.push(rest.to_owned());
    }
    command
}

fn take_back(certificate: &Utf8Path, on_a_mac: bool) -> String {
    if on_a_mac {
        format!("security remove-trusted-cert {}", quoted(certificate))
    } else {
        "sudo rm /usr/local/share/ca-certificates/cove-authority.crt && sudo update-ca-certificates"
            .to_owned()
    }
}

/// A path as a shell takes it.
fn quoted(path: &Utf8Path) -> String {
    format!("'{}'", path.as_str().replace('\'', "'\\''"))
}

/// Lets this user's programs trust the authority, where one of the system's own programs asks them whether they want
/// that.
fn add_trust(certificate: &Utf8Path) -> Result<(), Failure> {
    if !cfg!(target_os = "macos") {
        let title = "only an administrator can let this computer's programs trust an authority";
        let problem = Problem::new(ProblemCode::InvalidRequest, title);
        return Err(problem.with_command("do it yourself", command(certificate, false).join(" ")).into());
    }
    let status = std::process::Command::new("/usr/bin/security")
        .args(["add-trusted-cert", "-r", "trustRoot", "-p", "ssl", certificate.as_str()])
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => {
            let title = "macOS did not let programs trust the authority";
            let problem = Problem::new(ProblemCode::InvalidRequest, title);
            Err(problem.with_command("try again", "cove ports https on --trust").into())
        }
        Err(error) => {
            let title = "`security`, which macOS has, could not be run";
            Err(Problem::new(ProblemCode::Internal, title).caused_by(&error).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_own_store_of_trust() {
        let certificate = Utf8Path::new("/home/o'neil/cove-authority.pem");
        assert_eq!(
            command(certificate, true).join(" "),
            r"security add-trusted-cert -r trustRoot -p ssl '/home/o'\''neil/cove-authority.pem'"
        );
        let linux = command(certificate, false).join(" ");
        assert!(
            linux.starts_with(r"sudo install -m 644 '/home/o'\''neil/cove-authority.pem' /usr"),
            "{linux}"
        );
        assert!(linux.ends_with("&& sudo update-ca-certificates"));
    }
}
