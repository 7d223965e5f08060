//! The windows of a desktop, as whoever manages them sees them.

use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, InputFocus, MapState};
use x11rb::rust_connection::RustConnection;

/// A connection to the X server.
pub(crate) struct Screen {
    pub(crate) x: RustConnection,
    pub(crate) root: u32,
}

impl Screen {
    pub(crate) fn of(display: &str) -> Self {
        let (x, number) = x11rb::connect(Some(display)).expect("the X server runs");
        let root = x.setup().roots[number].root;
        Self { x, root }
    }

    /// The number that the server has for a name.
    pub(crate) fn atom(&self, name: &str) -> u32 {
        let atom = self.x.intern_atom(false, name.as_bytes()).expect("the server listens").reply();
        atom.expect("the name is right").atom
    }

    /// The windows with this title that are shown.
    pub(crate) fn shown(&self, title: &str) -> Vec<u32> {
        let tree = self.x.query_tree(self.root).expect("the server listens").reply();
        let children = tree.map(|tree| tree.children).unwrap_or_default();
        children.into_iter().filter(|window| self.is_shown(*window, title)).collect()
    }

    fn is_shown(&self, window: u32, title: &str) -> bool {
        let (name, text) = (AtomEnum::WM_NAME, AtomEnum::ANY);
        let attributes = self.x.get_window_attributes(window).expect("the server listens").reply();
        let named =
            self.x.get_property(false, window, name, text, 0, 64).expect("the server listens").reply();
        // It may go while it is looked at.
        attributes.is_ok_and(|it| it.map_state == MapState::VIEWABLE)
            && named.is_ok_and(|it| it.value == title.as_bytes())
    }

    /// Closes a window as its button does.
    pub(crate) fn close(&self, window: u32) {
        self.tell(window, "WM_PROTOCOLS", [self.atom("WM_DELETE_WINDOW"), 0, 0, 0, 0]);
    }

    /// Gives a window the keys.
    pub(crate) fn focus(&self, window: u32) {
        self.x.set_input_focus(InputFocus::PARENT, window, CURRENT_TIME).expect("the server listens");
        self.x.flush().expect("the server listens");
    }

    /// Sends a window a message.
    pub(crate) fn tell(&self, window: u32, message: &str, data: [u32; 5]) {
        let message = ClientMessageEvent::new(32, window, self.atom(message), data);
        self.x.send_event(false, window, EventMask::NO_EVENT, message).expect("the server listens");
        self.x.flush().expect("the server listens");
    }
}
