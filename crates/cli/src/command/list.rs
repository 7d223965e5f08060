//! `cove ls`

use api::{Environment, Phase, PortStatus, Source};
use camino::Utf8Path;

use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let mut environments = context.client().await?.environments().await?;
    environments.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    if environments.is_empty() && !context.output.is_json() {
        context.output.note("There are no environments. `cove up` in a folder makes one.");
        return Ok(());
    }
    context.output.show(&environments, |paint| table_of(&environments, paint))
}

fn table_of(environments: &[Environment], paint: Paint) -> String {
    let home = std::env::var("HOME").ok();
    let rows: Vec<_> = environments
        .iter()
        .map(|environment| {
            let name = environment.metadata.name.as_str();
            let ports: Vec<_> = environment.status.ports.iter().filter_map(port).collect();
            vec![
                Cell::painted(name, paint.bold(name)),
                state_cell(environment, paint),
                Cell::plain(if ports.is_empty() { "-".to_owned() } else { ports.join(", ") }),
                Cell::plain(place(&environment.spec.source, home.as_deref())),
            ]
        })
        .collect();
    table::render(&["NAME", "STATE", "PORTS", "FOLDER"], &rows, paint)
}

fn state_cell(environment: &Environment, paint: Paint) -> Cell {
    let text = environment.state_in_words();
    let painted = match environment.status.phase {
        _ if environment.status.problem.is_some() => paint.red(&text),
        Phase::Running => paint.green(&text),
        Phase::Stopped | Phase::Deleted => paint.dim(&text),
        Phase::Creating | Phase::Starting | Phase::Updating | Phase::Stopping | Phase::Deleting => {
            paint.yellow(&text)
        }
    };
    Cell::painted(&text, painted)
}

/// `8000`, or `18000→8000` when another port of this computer leads to it; nothing while it is closed.
fn port(port: &PortStatus) -> Option<String> {
    let host = port.host_port?;
    Some(if host == port.container_port {
        host.to_string()
    } else {
        format!("{host}→{}", port.container_port)
    })
}

/// A folder, or the repository of a clone.
fn place(source: &Source, home: Option<&str>) -> String {
    if source.is_here() { short_path(source.folder(), home) } else { source.shown() }
}

/// A path with `~` for the home folder.
fn short_path(path: &Utf8Path, home: Option<&str>) -> String {
    match home.filter(|home| home.len() > 1).and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if rest.as_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{rest}"),
        None => path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_parts_of_a_path_are_the_home_folder() {
        for (path, shown) in
            [("/home/ada", "~"), ("/home/ada/src/x", "~/src/x"), ("/home/adam/x", "/home/adam/x")]
        {
            assert_eq!(short_path(path.into(), Some("/home/ada")), shown);
        }
        assert_eq!(short_path("/x".into(), Some("/")), "/x");
    }
}
