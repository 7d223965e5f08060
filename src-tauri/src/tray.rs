//! The menu on Tauri's items: applies what [`crate::diff`] says, and decides nothing.

use tauri::image::Image;
use tauri::menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};

use crate::diff::{Change, changes};
use crate::host;
use crate::menu::{self, Action, Face, Item, Kind};

/// The icon in the menu bar, with its menu as it is shown. Used on the main thread only.
pub(crate) struct Tray {
    app: AppHandle,
    icon: TrayIcon,
    menu: Menu<Wry>,
    rows: Vec<Row>,
    shown: menu::Menu,
}

/// One of Tauri's items, with those inside.
struct Row {
    item: Handle,
    inside: Vec<Row>,
}

enum Handle {
    Plain(MenuItem<Wry>),
    Check(CheckMenuItem<Wry>),
    Separator(PredefinedMenuItem<Wry>),
    Submenu(Submenu<Wry>),
}

/// What rows stand in.
#[derive(Clone, Copy)]
enum Level<'a> {
    Top(&'a Menu<Wry>),
    Inside(&'a Submenu<Wry>),
}

impl Tray {
    /// Shows a menu for the first time. `looked_at` is called when the menu opens, where the system tells of it.
    ///
    /// # Errors
    /// What the system says of it.
    pub(crate) fn new(
        app: &AppHandle,
        shown: menu::Menu,
        icons: &std::path::Path,
        looked_at: impl Fn() + Send + Sync + 'static,
    ) -> tauri::Result<Self> {
        let menu = Menu::new(app)?;
        let mut rows = Vec::new();
        let steps = changes(&[], &shown.items);
        apply(app, Level::Top(&menu), &mut rows, steps)?;
        let icon = TrayIconBuilder::with_id("cove")
            .menu(&menu)
            .icon(picture(shown.face)?)
            .icon_as_template(true)
            .temp_dir_path(icons)
            .on_tray_icon_event(move |_, event| {
                if matches!(event, TrayIconEvent::Click { .. }) {
                    looked_at();
                }
            })
            .build(app)?;
        Ok(Self { app: app.clone(), icon, menu, rows, shown })
    }

    /// Brings the menu to what it shall be.
    ///
    /// # Errors
    /// What the system says of it.
    pub(crate) fn show(&mut self, wanted: menu::Menu) -> tauri::Result<()> {
        if wanted.face != self.shown.face {
            self.icon.set_icon_with_as_template(Some(picture(wanted.face)?), true)?;
        }
        let steps = changes(&self.shown.items, &wanted.items);
        let applied = apply(&self.app, Level::Top(&self.menu), &mut self.rows, steps);
        self.shown = wanted;
        if applied.is_err() {
            self.clear();
        }
        applied
    }

    /// Takes all rows away: which of them are there is not known any more. The next menu is made anew.
    fn clear(&mut self) {
        while let Ok(Some(_)) = self.menu.remove_at(0) {}
        self.rows.clear();
        self.shown.items.clear();
    }

    /// What the row that was clicked does. One that can be on or off has turned itself over.
    pub(crate) fn clicked(&mut self, key: &str) -> Option<Action> {
        let action = self.shown.action(key).cloned();
        self.shown.turn_over(key);
        action
    }
}

/// Black shapes on nothing, 36 pixels high. A Mac gives them the colour of its menu bar; other desktops show them as
/// they are, and get them in a colour that is seen on light and dark.
fn picture(face: Face) -> tauri::Result<Image<'static>> {
    let black = Image::from_bytes(match face {
        Face::Stopped => include_bytes!("../../package/icons/menu-bar/stopped@2x.png"),
        Face::Starting => include_bytes!("../../package/icons/menu-bar/starting@2x.png"),
        Face::Running => include_bytes!("../../package/icons/menu-bar/running@2x.png"),
        Face::Attention => include_bytes!("../../package/icons/menu-bar/attention@2x.png"),
    })?;
    let mut pixels = black.rgba().to_vec();
    for pixel in pixels.chunks_exact_mut(4) {
        pixel[..3].copy_from_slice(&host::ICON_COLOUR);
    }
    Ok(Image::new_owned(pixels, black.width(), black.height()))
}

fn apply(app: &AppHandle, level: Level<'_>, rows: &mut Vec<Row>, steps: Vec<Change>) -> tauri::Result<()> {
    for step in steps {
        match step {
            Change::Remove(at) => {
                level.remove(at)?;
                rows.remove(at);
            }
            Change::Insert(at, item) => {
                let row = Row::new(app, &item)?;
                level.insert(row.item.as_item(), at)?;
                rows.insert(at, row);
            }
            Change::Text(at, text) => match &rows[at].item {
                Handle::Submenu(old) if !host::RENAMES_SUBMENUS => {
                    let new = renamed(app, old, &rows[at].inside, &text)?;
                    level.remove(at)?;
                    level.insert(&new, at)?;
                    rows[at].item = Handle::Submenu(new);
                }
                _ => rows[at].set_text(&text)?,
            },
            Change::Checked(at, on) => {
                if let Handle::Check(item) = &rows[at].item {
                    item.set_checked(on)?;
                }
            }
            Change::Inside(at, steps) => {
                let Row { item, inside } = &mut rows[at];
                if let Handle::Submenu(submenu) = item {
                    apply(app, Level::Inside(submenu), inside, steps)?;
                }
            }
        }
    }
    Ok(())
}

/// Another submenu with these words, and the rows of this one.
fn renamed(app: &AppHandle, old: &Submenu<Wry>, rows: &[Row], text: &str) -> tauri::Result<Submenu<Wry>> {
    let new = Submenu::with_id(app, old.id().clone(), literal(text), true)?;
    for row in rows {
        let item = row.item.as_item();
        old.remove(item)?;
        new.append(item)?;
    }
    Ok(new)
}

impl Level<'_> {
    fn insert(self, item: &dyn IsMenuItem<Wry>, at: usize) -> tauri::Result<()> {
        match self {
            Self::Top(menu) => menu.insert(item, at),
            Self::Inside(submenu) => submenu.insert(item, at),
        }
    }

    fn remove(self, at: usize) -> tauri::Result<()> {
        match self {
            Self::Top(menu) => menu.remove_at(at).map(drop),
            Self::Inside(submenu) => submenu.remove_at(at).map(drop),
        }
    }
}

impl Row {
    fn new(app: &AppHandle, item: &Item) -> tauri::Result<Self> {
        let (key, text) = (item.key.as_str(), literal(&item.text));
        let plain = |enabled| MenuItem::with_id(app, key, &text, enabled, None::<&str>).map(Handle::Plain);
        let mut inside = Vec::new();
        let item = match &item.kind {
            Kind::Line => plain(false)?,
            Kind::Action(_) => plain(true)?,
            Kind::Separator => Handle::Separator(PredefinedMenuItem::separator(app)?),
            Kind::Check(on, _) => {
                Handle::Check(CheckMenuItem::with_id(app, key, &text, true, *on, None::<&str>)?)
            }
            Kind::Submenu(items) => {
                let submenu = Submenu::with_id(app, key, &text, true)?;
                apply(app, Level::Inside(&submenu), &mut inside, changes(&[], items))?;
                Handle::Submenu(submenu)
            }
        };
        Ok(Self { item, inside })
    }

    fn set_text(&self, text: &str) -> tauri::Result<()> {
        let text = literal(text);
        match &self.item {
            Handle::Plain(item) => item.set_text(text),
            Handle::Check(item) => item.set_text(text),
            Handle::Submenu(item) => item.set_text(text),
            Handle::Separator(_) => Ok(()),
        }
    }
}

impl Handle {
    fn as_item(&self) -> &dyn IsMenuItem<Wry> {
        match self {
            Self::Plain(item) => item,
            Self::Check(item) => item,
            Self::Separator(item) => item,
            Self::Submenu(item) => item,
        }
    }
}

/// Without a letter to press: that is what one `&` stands for in texts of menus.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}
