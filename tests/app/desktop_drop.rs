//! What another program lets go of over the window, by the protocol that programs of a desktop drag with: XDND.

use std::fs;

use test_support::dockerd::BASE_IMAGE;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, SelectionRequestEvent, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;
use x11rb::{COPY_FROM_PARENT, CURRENT_TIME, NONE};

use crate::place::{Place, soon};
use crate::screen::Screen;
use crate::window::Window;

/// Of the protocol, as file managers speak it.
const VERSION: u32 = 5;

/// What files are dragged as.
const FILES: &str = "text/uri-list";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_is_shown_and_starts_nothing() {
    let Some(place) = Place::new().await else { return };
    let config = format!(r#"{{ "image": "{BASE_IMAGE}", "initializeCommand": "touch ran-here" }}"#);
    let first = place.project("first", &config);
    let dropped = place.project("dropped here", &config);
    let file = place.root().join("src/<b>notes<b>.txt");
    fs::write(&file, "").unwrap();
    let window = Window::open(&place, &[first.as_str()]).await;
    window.says("src/first").await;
    window.says("What will happen").await;
    let screen = Screen::of(place.desktop.display());
    let [shown] = screen.shown("Cove")[..] else { panic!("there is one window") };
    let drop = async |uris: &[&str]| Drag::begin(&screen, uris).let_go_over(shown).await;

    drop(&[&format!("file://{}/src/dropped%20here", place.root())]).await;
    window.says("src/dropped here").await;
    window.says("touch ran-here").await;
    // Of several the last is seen.
    drop(&[&format!("file://{first}"), &format!("file://{}/src/%3Cb%3Enotes%3Cb%3E.txt", place.root())])
        .await;
    window.says(&format!("`{file}` is no folder")).await;
    window.says("open the folder that it is in").await;
    // A link out of a browser is no page to go to, and one of ours no more than elsewhere.
    drop(&["https://elsewhere.example/"]).await;
    window.says("`https://elsewhere.example/` is neither a folder nor a link of Cove").await;
    drop(&["cove://up?repo=https://git.example/team/shop.git"]).await;
    window.says("A link asked for this. Nothing starts until you press Start.").await;
    window.says("git fetches https://git.example/team/shop.git").await;

    assert_eq!(window.run("return location.origin").await, "tauri://localhost");
    assert_eq!(place.client.environments().await.unwrap(), []);
    assert_eq!(place.shim.starts(), 0);
    assert!(!dropped.join("ran-here").exists());
}

/// Files under the pointer of another program.
struct Drag<'a> {
    screen: &'a Screen,
    source: u32,
    files: String,
}

impl<'a> Drag<'a> {
    fn begin(screen: &'a Screen, uris: &[&str]) -> Self {
        let (x, source) = (&screen.x, screen.x.generate_id().expect("there are free numbers"));
        let (kind, looks) = (WindowClass::INPUT_ONLY, CreateWindowAux::new());
        x.create_window(0, source, screen.root, 0, 0, 1, 1, 0, kind, COPY_FROM_PARENT, &looks)
            .expect("the server listens");
        x.set_selection_owner(source, screen.atom("XdndSelection"), CURRENT_TIME)
            .expect("the server listens");
        Self { screen, source, files: uris.join("\r\n") + "\r\n" }
    }

    /// Moves over a window until that would take it, as the pointer tells a person, and lets go.
    async fn let_go_over(self, window: u32) {
        let [files, copy] = [FILES, "XdndActionCopy"].map(|name| self.screen.atom(name));
        let tell = |what, [a, b, c, d]: [u32; 4]| self.screen.tell(window, what, [self.source, a, b, c, d]);
        let middle = self.middle_of(window);
        tell("XdndEnter", [VERSION << 24, files, NONE, NONE]);
        // Not at once: it looks first at what it is.
        soon("a place to drop it", async || {
            tell("XdndPosition", [0, middle, CURRENT_TIME, copy]);
            self.answer("XdndStatus").await
        })
        .await;
        tell("XdndDrop", [0, CURRENT_TIME, 0, 0]);
        assert!(self.answer("XdndFinished").await, "it was not taken");
    }

    /// Waits for an answer, which is yes or no. Who is to answer asks for the files meanwhile.
    async fn answer(&self, name: &str) -> bool {
        let (wanted, mut answer) = (self.screen.atom(name), None);
        soon(name, async || {
            while let Some(event) = self.screen.x.poll_for_event().expect("the server is there") {
                match event {
                    Event::SelectionRequest(request) => self.hand_out(&request),
                    Event::ClientMessage(message) if message.type_ == wanted => {
                        answer = Some(message.data.as_data32()[1] & 1 == 1);
                    }
                    _ => {}
                }
            }
            answer.is_some()
        })
        .await;
        answer.expect("it was waited for")
    }

    fn hand_out(&self, request: &SelectionRequestEvent) {
        let x = &self.screen.x;
        let is_there = request.target == self.screen.atom(FILES);
        if is_there {
            let (to, name, kind) = (request.requestor, request.property, request.target);
            x.change_property8(PropMode::REPLACE, to, name, kind, self.files.as_bytes())
                .expect("the server listens");
        }
        let done = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if is_there { request.property } else { AtomEnum::NONE.into() },
        };
        x.send_event(false, request.requestor, EventMask::NO_EVENT, done).expect("the server listens");
        x.flush().expect("the server listens");
    }

    /// The middle of a window on the screen: x and y, 16 bits each.
    fn middle_of(&self, window: u32) -> u32 {
        let (x, root) = (&self.screen.x, self.screen.root);
        let size = x.get_geometry(window).expect("the server listens").reply().expect("it is there");
        let corner = x.translate_coordinates(window, root, 0, 0).expect("the server listens").reply();
        let corner = corner.expect("it is there");
        let middle = |from: i16, length: u16| u32::from(from.cast_unsigned() + length / 2);
        middle(corner.dst_x, size.width) << 16 | middle(corner.dst_y, size.height)
    }
}
