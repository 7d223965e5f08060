//! Embeds the console. A checkout whose page was not built yet gets one that says how, so that the server needs no Node.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let ui = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../ui");
    let page = ui.join("dist-control");
    if !page.join("control.html").exists() {
        fs::create_dir_all(&page)?;
        fs::copy(ui.join("placeholder.html"), page.join("control.html"))?;
    }
    println!("cargo::rerun-if-changed={}", page.display());
    let mut files = Vec::new();
    collect(&page, String::new(), &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for name in files {
        let path = std::path::absolute(page.join(&name))?;
        writeln!(table, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())?;
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("page.rs"), table)?;
    Ok(())
}

fn collect(folder: &Path, prefix: String, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), format!("{prefix}{name}/"), files)?;
        } else {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
