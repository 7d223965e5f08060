//! The desktop's own dialog for folders, used with the keys.

use test_support::dockerd::BASE_IMAGE;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::{CURRENT_TIME, NONE};

use crate::place::{Place, soon};
use crate::screen::Screen;
use crate::window::Window;

/// Of the dialog.
const TITLE: &str = "Choose a Folder";

/// Keys that are no characters, by their names in `keysymdef.h`.
const RETURN: u32 = 0xff0d;
const ESCAPE: u32 = 0xff1b;
const SHIFT: u32 = 0xffe1;
const CONTROL: u32 = 0xffe3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_chosen_in_the_dialog_of_the_desktop() {
    let Some(place) = Place::new().await else { return };
    let config = format!(r#"{{ "image": "{BASE_IMAGE}", "initializeCommand": "touch ran-here" }}"#);
    let (first, chosen) = (place.project("first", &config), place.project("Chosen", &config));
    let window = Window::open(&place, &[first.as_str()]).await;
    window.press("‹ Open something else").await;
    window.says("Choose a folder…").await;
    let screen = Screen::of(place.desktop.display());
    let keyboard = Keyboard::of(&screen);
    let before = (window.text().await, window.run("return location.href").await);

    window.press("Choose a folder…").await;
    screen.focus(dialog(&screen).await);
    keyboard.press(&[ESCAPE]);
    end_of_dialog(&screen).await;
    assert_eq!((window.text().await, window.run("return location.href").await), before);

    window.press("Choose a folder…").await;
    screen.focus(dialog(&screen).await);
    keyboard.press(&[CONTROL, u32::from('l')]);
    keyboard.write(chosen.as_str());
    keyboard.press(&[RETURN]);
    end_of_dialog(&screen).await;
    window.says("src/Chosen").await;
    window.says("touch ran-here").await;
    assert_eq!(place.client.environments().await.unwrap(), []);
    assert!(!chosen.join("ran-here").exists());
}

async fn dialog(screen: &Screen) -> u32 {
    let mut dialog = None;
    soon("the dialog", async || {
        dialog = screen.shown(TITLE).pop();
        dialog.is_some()
    })
    .await;
    dialog.expect("it was waited for")
}

async fn end_of_dialog(screen: &Screen) {
    soon("the end of the dialog", async || screen.shown(TITLE).is_empty()).await;
}

/// The keyboard of the screen: what is pressed goes to whoever has the keys.
struct Keyboard<'a> {
    screen: &'a Screen,
    /// The number of the first key.
    first: u8,
    /// For each key what it means alone, and with the shift key.
    keys: Vec<[u32; 2]>,
}

impl<'a> Keyboard<'a> {
    fn of(screen: &'a Screen) -> Self {
        let (first, last) = (screen.x.setup().min_keycode, screen.x.setup().max_keycode);
        let keys = screen.x.get_keyboard_mapping(first, last - first + 1).expect("the server listens");
        let keys = keys.reply().expect("there is a keyboard");
        let meanings = keys.keysyms.chunks(keys.keysyms_per_keycode.into());
        Self { screen, first, keys: meanings.map(|key| [key[0], key[1]]).collect() }
    }

    /// Presses keys one after the other, and lets go of them backwards.
    fn press(&self, symbols: &[u32]) {
        let keys = symbols.iter().flat_map(|&symbol| self.keys_of(symbol)).collect::<Vec<_>>();
        let down = keys.iter().map(|&key| (KEY_PRESS_EVENT, key));
        let up = keys.iter().rev().map(|&key| (KEY_RELEASE_EVENT, key));
        let x = &self.screen.x;
        for (what, key) in down.chain(up) {
            x.xtest_fake_input(what, key, CURRENT_TIME, NONE, 0, 0, 0).expect("the server listens");
        }
        x.flush().expect("the server listens");
    }

    /// Characters of ASCII, whose symbols are their numbers.
    fn write(&self, text: &str) {
        text.bytes().for_each(|character| self.press(&[character.into()]));
    }

    /// The key of a symbol, after the shift key if it needs that.
    fn keys_of(&self, symbol: u32) -> Vec<u8> {
        let with = |level: usize| {
            let at = self.keys.iter().position(|key| key[level] == symbol)?;
            Some(self.first + u8::try_from(at).expect("keys have numbers of a byte"))
        };
        let shifted = || Some([self.keys_of(SHIFT), vec![with(1)?]].concat());
        with(0).map(|key| vec![key]).or_else(shifted).expect("the keyboard has it")
    }
}
