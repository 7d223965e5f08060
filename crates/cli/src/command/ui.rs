//! `cove ui`

use api::{PageAccess, PageAudience, PageRequest, Problem, ProblemCode};
use camino::Utf8Path;
use host::whole_file;
use serde::Serialize;

use crate::arguments::UiArguments;
use crate::context::Context;
use crate::failure::Failure;

/// What is said of a page.
#[derive(Debug, Serialize)]
struct Said {
    /// With the token, if the person asked for that.
    url: String,
}

pub(super) async fn run(context: &Context, arguments: &UiArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    if arguments.end {
        client.close_pages().await?;
        let said = serde_json::json!({ "ended": true });
        return context.output.show(&said, |_| "No page has a session any more.\n".to_owned());
    }
    let request = PageRequest { audience: PageAudience::Browser, port: arguments.port };
    let access = client.open_page(&request).await?;
    if let Some(port) = arguments.port.filter(|port| !access.url.ends_with(&format!(":{port}"))) {
        let problem =
            Problem::new(ProblemCode::PortTaken, format!("the page is served at {} already", access.url));
        return Err(problem
            .with_hint(format!("for port {port}, end the daemon first; machines and environments run on"))
            .with_command("then open it anew", format!("cove daemon stop && cove ui --port {port}"))
            .into());
    }
    if arguments.print {
        let said = Said { url: link(&access) };
        return context.output.show(&said, |_| format!("{}\n", said.url));
    }
    let file = context.home.page_link();
    lead(&file, &access).map_err(|error| {
        Problem::new(ProblemCode::Internal, format!("could not write `{file}`")).caused_by(&error)
    })?;
    open::that_detached(file.as_str()).map_err(|error| {
        Problem::new(ProblemCode::Internal, "no browser could be opened here")
            .caused_by(&error)
            .with_command("have the address printed, and open it yourself", "cove ui --print")
    })?;
    let said = Said { url: access.url };
    context.output.show(&said, |_| format!("Cove is at {} in your browser.\n", said.url))
}

fn link(access: &PageAccess) -> String {
    format!("{}/#token={}", access.url, access.token)
}

/// A file for this user alone that leads to the page. Who lists the processes of this computer sees the file's name, and
/// not the token.
fn lead(file: &Utf8Path, access: &PageAccess) -> std::io::Result<()> {
    let link = link(access);
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>Cove</title>\n\
         <meta http-equiv=\"refresh\" content=\"0; url={link}\">\n<a href=\"{link}\">Open Cove</a>\n"
    );
    whole_file::write_for(file, page.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_that_leads_to_the_page_is_this_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("run/page.html");
        let access = PageAccess { url: "http://127.0.0.1:4000".to_owned(), token: "a-b_c".to_owned() };
        lead(&file, &access).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("url=http://127.0.0.1:4000/#token=a-b_c\""), "{text}");
    }
}
