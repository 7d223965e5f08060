//! What a person does with the window, and what opens in it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use api::Phase;
use camino::Utf8Path;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use crate::menu::{MenuOnBus, find};
use crate::place::{Place, ended, soon};
use crate::screen::Screen;
use crate::window::Window;

/// A container that needs nothing of the guest but its engine, with a command that wants to run on this computer.
fn config() -> String {
    format!(
        r#"{{ "image": "{BASE_IMAGE}", "remoteUser": "root", "updateRemoteUserUID": false,
              "initializeCommand": "touch ran-here", "postCreateCommand": "echo from the hook" }}"#
    )
}

/// A server that stands for one in the container; gives its port.
fn site() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe site");
        }
    });
    port
}

fn answer(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_shown_comes_up_by_a_press_and_is_used() {
    let Some(engine) = Dockerd::start() else { return };
    let Some(mut place) = Place::new().await else { return };
    place.put_engine(&engine);
    let folder = place.project("web", &config());
    let window = Window::open(&place, &[folder.as_str()]).await;
    window.says("What will happen").await;
    window.says("touch ran-here").await;
    assert_eq!(place.client.environments().await.unwrap(), []);
    window.press("Start").await;
    window.says("web is running").await;
    place.until_phase("web", Phase::Running).await;
    assert!(!folder.join("ran-here").exists(), "nobody agreed to it");
    // The editor opens by itself, as was wished.
    assert_eq!(place.called("cove").await, "open\n--json\n--quiet\nweb\n");

    let inside = site();
    let container = place.client.environment("web").await.unwrap().status.container.unwrap().id;
    place.shim.guest().add_listener(protocol::agent::Listener {
        protocol: "tcp".to_owned(),
        address: "127.0.0.1".to_owned(),
        port: inside,
        network_of: Some(1),
        container: Some(container),
        command: Some("site".to_owned()),
    });
    let mut port = None;
    soon("a port of this computer", async || {
        let ports = place.client.environment("web").await.unwrap().status.ports;
        port = ports.iter().find(|port| port.container_port == inside).and_then(|port| port.host_port);
        port.is_some_and(|port| answer(port).ends_with("the site"))
    })
    .await;

    window.run("location.hash = '#/environments/web/terminal'; return 1").await;
    let screen = "return document.querySelector('.xterm-rows')?.textContent ?? ''";
    let shows = async |text: &str| window.run(screen).await.as_str().is_some_and(|seen| seen.contains(text));
    soon("a prompt", async || shows("#").await).await;
    window.types(".xterm-helper-textarea", "echo $((6 * 7))-echoed\n").await;
    soon("what was typed", async || shows("42-echoed").await).await;
    window.run("history.back(); return 1").await;
    window.says("web is running").await;

    let icon = place.desktop.icon().await;
    let mut menu = MenuOnBus::of(&place.desktop.bus, icon).await;
    menu.click(&["web", "Stop"]).await;
    place.until_phase("web", Phase::Stopped).await;
    window.says("web was told to stop").await;
    // What was started is offered again.
    let recent = fs::read_to_string(place.home().app_recent_file()).unwrap();
    assert!(recent.contains(folder.as_str()), "{recent}");
    window.press("‹ Open something else").await;
    window.says("Recent").await;
    window.says(folder.as_str()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_folders_and_files_are_shown_and_start_nothing() {
    let Some(place) = Place::new().await else { return };
    let folder = place.project("linked", &config());
    let file = |name: &str, text: &str| {
        let path = place.root().join("src").join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    };
    let window = Window::open(&place, &[&format!("cove://open?path={folder}")]).await;
    window.says("A link asked for this. Nothing starts until you press Start.").await;
    window.says("touch ran-here").await;
    // Each is handed over to the app that is open, by a start that ends well.
    let hand_over = |word: &str| {
        let second = place.app().arg(word).current_dir(place.root().join("src")).status();
        assert!(second.expect("it runs").success(), "{word}");
    };
    hand_over("cove://up?repo=https://git.example/team/shop.git&branch=v1");
    window.says("git fetches https://git.example/team/shop.git").await;
    window.says("Git uses no credentials of yours").await;
    place.project("other", &config());
    hand_over(file("by-file.cove", "{ \"path\": \"other\" }").as_str());
    window.says("src/other").await;
    assert!(!window.text().await.contains("A link asked"), "a file of this computer is no link");
    hand_over("linked");
    window.says("src/linked").await;
    hand_over(&format!("file://{}/src/other", place.root()));
    window.says("src/other").await;
    let odd = file("odd.cove", "{\n  \"path\": \"other\",\n  \"start\": true\n}");
    hand_over("odd.cove");
    window.says("unknown field `start`").await;
    window.says(&format!("{odd}:3:9")).await;
    hand_over("cove://open?path=/net/elsewhere.example/x");
    window.says("may be on another computer").await;
    hand_over("nowhere");
    window.says("nowhere` cannot be opened").await;
    assert_eq!(place.client.environments().await.unwrap(), []);
    assert!(!folder.join("ran-here").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_elsewhere_is_neither_shown_nor_given_a_command() {
    let Some(place) = Place::new().await else { return };
    let folder = place.project("web", &config());
    let window = Window::open(&place, &[folder.as_str()]).await;
    window.says("What will happen").await;
    let opened = window.run("return String(window.open('https://elsewhere.example/'))").await;
    assert_eq!(opened, "null");
    window.run("location.href = 'http://127.0.0.1:9/'; return 1").await;
    let refused = window.run(
        "return Promise.race([
           window.__TAURI_INTERNALS__.invoke('plugin:window|close').then(() => 'done', (error) => String(error)),
           new Promise((resolve) => setTimeout(() => resolve('no answer'), 5000))])",
    );
    assert!(refused.await.as_str().is_some_and(|said| said.contains("not allowed")));
    let external = window.run(
        "return window.__TAURI_INTERNALS__.invoke('open_external', { url: 'file:///etc/passwd' })
           .then(() => 'done', (problem) => problem.title)",
    );
    assert!(external.await.as_str().is_some_and(|said| said.contains("is not opened")));
    window.says("What will happen").await;
    assert_eq!(window.run("return location.origin").await, "tauri://localhost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_window_is_gone_and_opens_again() {
    let Some(mut place) = Place::new().await else { return };
    let (app, mut menu) = place.open_app().await;
    let screen = Screen::of(place.desktop.display());
    let pid = app.0.id();
    menu.status("Stopped").await;
    assert_eq!((screen.shown("Cove"), web_processes(pid)), (Vec::new(), 0));
    menu.click(&["Open Cove"]).await;
    soon("the window", async || screen.shown("Cove").len() == 1 && web_processes(pid) == 1).await;
    // Once more is the same window.
    menu.click(&["Open Cove"]).await;
    assert!(place.app().status().unwrap().success());
    assert_eq!(screen.shown("Cove").len(), 1);
    screen.close(screen.shown("Cove")[0]);
    soon("the end of the window", async || screen.shown("Cove").is_empty() && web_processes(pid) == 0).await;
    let place_of_window = fs::read_to_string(place.home().app_window_file()).unwrap();
    assert!(place_of_window.contains("\"width\":1120.0"), "{place_of_window}");
    menu.until("the menu goes on", |rows| find(rows, &["Open Cove"]).map(drop)).await;
    // A second start without words means the window.
    assert!(place.app().status().unwrap().success());
    soon("the window", async || screen.shown("Cove").len() == 1 && web_processes(pid) == 1).await;
    menu.click(&["Quit and Keep Running"]).await;
    assert!(ended(app).await.success());
    place.client.check_version().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_shows_the_window() {
    let Some(mut place) = Place::new().await else { return };
    fs::remove_file(place.home().app_window_file()).unwrap();
    let (_app, mut menu) = place.open_app().await;
    menu.status("Stopped").await;
    let screen = Screen::of(place.desktop.display());
    soon("the window", async || screen.shown("Cove").len() == 1).await;
}

/// How many processes show a page for the app.
fn web_processes(app: u32) -> usize {
    let of_app = |folder: &Utf8Path| {
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        // `pid (name) state parent …`
        let (head, rest) = stat.rsplit_once(") ")?;
        let parent = rest.split(' ').nth(1)?;
        (head.contains("(WebKitWeb") && parent == app.to_string()).then_some(())
    };
    let folders = Utf8Path::new("/proc").read_dir_utf8().expect("there is /proc");
    folders.flatten().filter(|folder| of_app(folder.path()).is_some()).count()
}
