//! What the app weighs, beside a browser of the same engine that shows the same page: `cargo xtask bench --app`. Prints a
//! table; what is measured and how is in `bench/README.md`.

#![allow(dead_code, reason = "the tests of the app use more of what they have in common")]

mod desktop;
mod menu;
mod place;
mod screen;
mod window;

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{PageAudience, PageRequest};
use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use desktop::Ending;
use place::{Place, soon};
use screen::Screen;
use window::Window;

/// Starts of each.
const ROUNDS: usize = 5;
/// Before memory is read, and over which wake-ups are counted.
const REST: Duration = Duration::from_secs(20);
/// WebKitGTK's own browser.
const BROWSER: &str = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/// When the page was first painted, in milliseconds since 1970; nothing before that.
const PAINTED: &str = "const [paint] = performance.getEntriesByName('first-contentful-paint');
                       return paint ? performance.timeOrigin + paint.startTime : 0";

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<(), Failed> {
    let place = Place::new().await.ok_or("a part is missing")?;
    // The daemon is there already, as at every start but the first.
    let first = Ending(place.app().spawn()?);
    let request = PageRequest { audience: PageAudience::Browser, port: None };
    soon("the daemon", async || place.client.version().await.is_ok()).await;
    let page = place.client.open_page(&request).await?.url;
    drop(first);
    let folder = place.project("web", "{}");

    let (mut app, mut browser) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        app.push(start_of_app(&place, folder.as_str()).await?);
        browser.push(start_of_browser(&place, &page).await?);
    }

    // On a desktop of its own: that one knows the icons of the others.
    let mut place = Place::new().await.ok_or("a part is missing")?;
    let (mut running, mut menu) = place.open_app().await;
    let (pid, screen) = (running.0.id(), Screen::of(place.desktop.display()));
    tokio::time::sleep(REST).await;
    tell("Never opened:")?;
    let never_opened = memory(pid)?;
    menu.click(&["Open Cove"]).await;
    soon("the window", async || screen.shown("Cove").len() == 1).await;
    tokio::time::sleep(REST).await;
    tell("Window open:")?;
    let open = memory(pid)?;
    let open_wakes = wake_ups(pid).await?;
    screen.close(screen.shown("Cove")[0]);
    soon("the end of the window", async || screen.shown("Cove").is_empty()).await;
    tokio::time::sleep(REST).await;
    tell("Window closed:")?;
    let closed = memory(pid)?;
    let closed_wakes = wake_ups(pid).await?;
    running.0.kill()?;

    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let table = format!(
        "| | Cove's app | MiniBrowser with the page | ratio |\n|---|--:|--:|--:|\n\
         | start of the process to first paint, median of {ROUNDS} | {} ms | {} ms | {:.2}x |\n\n\
         | Cove's app | window open | window closed | never opened |\n|---|--:|--:|--:|\n\
         | memory of all its processes (PSS) | {} | {} | {} |\n| wake-ups a second | {open_wakes:.1} | {closed_wakes:.1} | |\n",
        median(&mut app),
        median(&mut browser),
        median(&mut browser) as f64 / median(&mut app) as f64,
        mib(open),
        mib(closed),
        mib(never_opened),
    );
    std::io::stdout().lock().write_all(table.as_bytes())?;
    Ok(())
}

/// From the start of the app, with a folder to open, to what is first seen in its window.
async fn start_of_app(place: &Place, folder: &str) -> Result<u64, Failed> {
    let window = Window::open(place, &[folder]).await;
    let mut painted = 0.0;
    soon("the first paint", async || {
        painted = window.run(PAINTED).await.as_f64().unwrap_or_default();
        painted > 0.0
    })
    .await;
    let pid = of_program(&place.program())?.ok_or("the app runs")?;
    let took = painted - started(pid)?;
    drop(window);
    end(pid).await;
    Ok(took as u64)
}

/// The same of a browser that has nothing of its own to show.
async fn start_of_browser(place: &Place, page: &str) -> Result<u64, Failed> {
    let port = test_support::free_port();
    let mut driver = Command::new("WebKitWebDriver");
    driver.arg(format!("--port={port}"));
    place.dress(&mut driver);
    driver.env("WEBKIT_DISABLE_COMPOSITING_MODE", "1").stderr(Stdio::null());
    let _driver = Ending(driver.spawn()?);
    let options = json!({ "binary": BROWSER, "args": ["--automation"] });
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities([("webkitgtk:browserOptions".to_owned(), options)].into_iter().collect());
    let (address, mut client) = (format!("http://{}:{port}", Ipv4Addr::LOCALHOST), None);
    soon("the driver", async || {
        client = builder.connect(&address).await.ok();
        client.is_some()
    })
    .await;
    let client = client.ok_or("it was waited for")?;
    client.goto(page).await?;
    let mut painted = 0.0;
    soon("the first paint", async || {
        let said = client.execute(PAINTED, Vec::new()).await;
        painted = said.ok().and_then(|said| said.as_f64()).unwrap_or_default();
        painted > 0.0
    })
    .await;
    let pid = of_program(Path::new(BROWSER))?.ok_or("the browser runs")?;
    let took = painted - started(pid)?;
    client.close().await?;
    end(pid).await;
    Ok(took as u64)
}

/// Ends a process that is not ours, and waits until it has.
async fn end(pid: u32) {
    if let Some(process) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended with its driver.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
    soon("the end of a program", async || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

fn processes() -> std::io::Result<Vec<u32>> {
    let folders = fs::read_dir("/proc")?.flatten();
    Ok(folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).collect())
}

fn of_program(program: &Path) -> std::io::Result<Option<u32>> {
    let is_it = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    Ok(processes()?.into_iter().find(is_it))
}

/// The fields of `/proc/PID/stat` after the name.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').skip(1).map(|field| field.parse().unwrap_or(0)).collect())
}

/// When it was started, in milliseconds since 1970; exact to a tick.
fn started(pid: u32) -> Result<f64, Failed> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().ok_or("seconds in /proc/uptime")?.parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let offset = (now - uptime) * 1e3;
    let ticks = stat(pid).and_then(|fields| fields.get(18).copied()).ok_or("a process that runs")?;
    Ok(offset + ticks as f64 * 1e3 / rustix::param::clock_ticks_per_second() as f64)
}

/// A process and all that it started, but for the daemon, which is no part of it.
fn descendants(of: u32) -> Vec<u32> {
    let is_daemon =
        |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "coved");
    let all: Vec<u32> = processes().unwrap_or_default().into_iter().filter(|pid| !is_daemon(*pid)).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let is_child =
            |pid: &&u32| stat(**pid).is_some_and(|fields| fields.first() == Some(&u64::from(parent)));
        found.extend(all.iter().filter(is_child));
        next += 1;
    }
    found
}

/// What all its processes occupy, shared pages shared out, in bytes.
fn memory(of: u32) -> Result<u64, Failed> {
    let mut sum = 0;
    for pid in descendants(of) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok());
        tell(&format!("    {} KiB: {}", kib.unwrap_or(0_u64), name(&format!("/proc/{pid}"))))?;
        sum += kib.unwrap_or(0) * 1024;
    }
    Ok(sum)
}

/// How often a second a thread of it was given a processor after a wait. Tells which threads those were.
async fn wake_ups(of: u32) -> Result<f64, Failed> {
    let before = waits(of);
    tokio::time::sleep(REST).await;
    // A thread that came or went meanwhile is passed over.
    let since = waits(of).into_iter().filter_map(|(thread, count)| {
        let woken = count - before.get(&thread)?;
        Some((thread, woken)).filter(|(_, woken)| *woken > 0)
    });
    let mut sum = 0;
    for (thread, woken) in since {
        tell(&format!("    {woken} wake-ups in {REST:?}: {}", name(&thread.to_string_lossy())))?;
        sum += woken;
    }
    Ok(sum as f64 / REST.as_secs_f64())
}

/// What a process or a thread is called, and the process of a thread.
fn name(folder: &str) -> String {
    let read = |path: &str| fs::read_to_string(format!("{path}/comm")).unwrap_or_default().trim().to_owned();
    match folder.split_once("/task/") {
        Some((process, _)) => format!("{} of {}", read(folder), read(process)),
        None => read(folder),
    }
}

/// A line beside the table.
fn tell(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{line}")
}

/// How often each thread waited so far.
fn waits(of: u32) -> BTreeMap<OsString, u64> {
    let tasks = descendants(of).into_iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")));
    let count = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((task.path().into_os_string(), line.trim().parse().ok()?))
    };
    tasks.flatten().flatten().filter_map(count).collect()
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
