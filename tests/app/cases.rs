//! What a person sees and does.

use std::fs;
use std::path::Path;

use api::{MachinePhase, Phase};
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use crate::menu::{MenuOnBus, find};
use crate::place::{Place, ended, soon};

/// A container that needs nothing of the guest but its engine.
fn config() -> String {
    format!(
        r#"{{ "name": "Web", "image": "{BASE_IMAGE}", "remoteUser": "root", "updateRemoteUserUID": false,
              "forwardPorts": [8000], "portsAttributes": {{ "8000": {{ "label": "the site" }} }} }}"#
    )
}

/// Holds the shape of the icon that is shown against the one that shall be, pixel by pixel.
async fn shows(menu: &MenuOnBus, name: &str) {
    let icons = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package/icons/menu-bar");
    let wanted = shape(&icons.join(format!("{name}@2x.png")));
    let shown = menu.picture().await;
    assert!(shape(&shown) == wanted, "{} is not the icon for `{name}`", shown.display());
}

/// How much of each pixel is covered.
fn shape(file: &Path) -> Vec<u8> {
    let file = fs::File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("icons are small")];
    reader.next_frame(&mut pixels).expect("it is whole");
    pixels.chunks_exact(4).map(|pixel| pixel[3]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_menu_follows_an_environment_and_commands_it() {
    let Some(engine) = Dockerd::start() else { return };
    let Some(mut place) = Place::new().await else { return };
    place.put_engine(&engine);
    // No daemon runs: the app starts it, as the command line would.
    let (app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    shows(&menu, "stopped").await;

    let folder = place.project("web", &config());
    place.up(&folder).await;
    menu.status("Running — 1 environment").await;
    shows(&menu, "running").await;
    menu.until("the environment", |rows| find(rows, &["web — running", "Open localhost:"]).map(drop)).await;
    menu.click(&["web", "Open localhost:8000 (the site)"]).await;
    assert_eq!(place.called("xdg-open").await, "http://localhost:8000\n");

    menu.click(&["web", "Stop"]).await;
    place.until_phase("web", Phase::Stopped).await;
    menu.until("a stopped environment", |rows| find(rows, &["web — stopped", "Start"]).map(drop)).await;
    menu.click(&["web", "Start"]).await;
    place.until_phase("web", Phase::Running).await;
    menu.status("Running — 1 environment").await;
    let container = place.client.environment("web").await.unwrap().status.container.unwrap();
    menu.click(&["web", "Restart"]).await;
    soon("another run of the container", async || {
        let now = place.client.environment("web").await.unwrap().status;
        now.phase == Phase::Running && now.container.is_some_and(|now| now.started_at != container.started_at)
    })
    .await;

    // A daemon that dies is started again; the machine and what runs in it never noticed.
    let before = place.client.version().await.unwrap().pid;
    let pid = rustix::process::Pid::from_raw(before.cast_signed()).unwrap();
    menu.status("Running — 1 environment").await;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let is_new = async || place.client.version().await.is_ok_and(|version| version.pid != before);
    soon("another daemon", is_new).await;
    menu.status("Running — 1 environment").await;

    menu.click(&["Quit and Keep Running"]).await;
    assert!(ended(app).await.success());
    place.until_phase("web", Phase::Running).await;
    assert_eq!(place.shim.starts(), 1, "the machine ran all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_a_browser_gets_one_without_a_click() {
    let Some(engine) = Dockerd::start() else { return };
    let Some(mut place) = Place::new().await else { return };
    place.put_engine(&engine);
    let (_app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    let config = format!(
        r#"{{ "image": "{BASE_IMAGE}", "remoteUser": "root", "updateRemoteUserUID": false,
              "portsAttributes": {{ "29877": {{ "onAutoForward": "openBrowser" }} }} }}"#
    );
    let folder = place.project("web", &config);
    place.up(&folder).await;
    menu.status("Running — 1 environment").await;
    let container = place.client.environment("web").await.unwrap().status.container.unwrap().id;
    for (port, command) in [(29_878, "node quiet"), (29_877, "node site")] {
        place.shim.guest().add_listener(protocol::agent::Listener {
            protocol: "tcp".to_owned(),
            address: "127.0.0.1".to_owned(),
            port,
            network_of: Some(1),
            container: Some(container.clone()),
            command: Some(command.to_owned()),
        });
    }
    let opened = place.called("xdg-open").await;
    let environment = place.client.environment("web").await.unwrap();
    let port = environment.status.ports.iter().find(|port| port.container_port == 29_877).unwrap();
    assert_eq!(Some(opened.trim_end()), port.url().as_deref());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_problem_gets_attention_and_an_explanation() {
    let Some(mut place) = Place::new().await else { return };
    let (_app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    let folder = place.project("web", "{ \"image\": 7 }");
    place.up(&folder).await;
    menu.until("the problem", |rows| rows.first()?.text.starts_with("Attention: ").then_some(())).await;
    shows(&menu, "attention").await;
    menu.click(&["web — ", "Show Problem in Terminal"]).await;
    let script = place.called("x-terminal-emulator").await;
    assert!(script.starts_with("-e\nsh\n-c\n") && script.contains("'show' 'web'"), "{script}");
    // Mended, and asked for again by whoever: the menu knows.
    menu.click(&["web — ", "Stop"]).await;
    menu.status("Stopped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_machine_is_switched_and_measured() {
    let Some(mut place) = Place::new().await else { return };
    let (_app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    menu.click(&["Start Machine"]).await;
    menu.status("Running — no environments").await;
    // As the made-up shim measures it; what the guest says of its own memory is not shown.
    menu.until("the machine's use", |rows| {
        let row = find(rows, &["Machine at "])?;
        row.text.contains("2.0 GiB of memory").then_some(())
    })
    .await;
    menu.click(&["Stop Machine"]).await;
    menu.status("Stopped").await;
    let machine = place.client.machine(api::DEFAULT_MACHINE).await.unwrap();
    assert_eq!(machine.status.phase, MachinePhase::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_was_ended_stays_ended_until_somebody_wants_it() {
    let Some(mut place) = Place::new().await else { return };
    let (_app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    place.client.shut_down().await.unwrap();
    menu.status("Stopped: the daemon was ended").await;
    menu.click(&["Start Cove"]).await;
    menu.status("Stopped").await;
    place.client.check_version().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_at_login_if_asked() {
    let Some(mut place) = Place::new().await else { return };
    let (_app, mut menu) = place.open_app().await;
    let entry = place.user().join(".config/autostart/Cove.desktop");
    let is_checked = |rows: &[crate::menu::Row], wanted| {
        (find(rows, &["Start at Login"])?.is_checked == wanted).then_some(())
    };
    menu.until("a switch that is off", |rows| is_checked(rows, false)).await;
    menu.click(&["Start at Login"]).await;
    menu.until("a switch that is on", |rows| is_checked(rows, true)).await;
    // It is there for an instant before it says anything.
    soon("the entry", async || fs::read_to_string(&entry).is_ok_and(|text| text.contains("/cove-app"))).await;
    menu.click(&["Start at Login"]).await;
    soon("the end of the entry", async || !entry.exists()).await;
}
