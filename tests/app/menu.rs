//! The menu of the app, as a panel reads and clicks it.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, MessageStream, Proxy};

use crate::desktop::Icon;

/// Longest wait for anything; a busy machine takes a while to start a desktop program.
const PATIENCE: Duration = Duration::from_mins(1);

/// The rows as they are on the bus: number, properties, rows inside.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// A menu that can be looked at again and again.
pub(crate) struct MenuOnBus {
    item: Proxy<'static>,
    menu: Proxy<'static>,
    signals: MessageStream,
}

/// A row as it was read.
#[derive(Clone)]
pub(crate) struct Row {
    number: i32,
    pub(crate) text: String,
    pub(crate) is_enabled: bool,
    pub(crate) is_checked: bool,
    pub(crate) rows: Vec<Row>,
}

impl MenuOnBus {
    pub(crate) async fn of(bus: &Connection, icon: Icon) -> Self {
        let item = Proxy::new(bus, icon.owner.clone(), icon.path, "org.kde.StatusNotifierItem").await;
        let item = item.expect("the names are right");
        let path: OwnedObjectPath = item.get_property("Menu").await.expect("the icon has a menu");
        let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal);
        let rule = rule.sender(icon.owner.clone()).expect("the name is right").build();
        let signals = MessageStream::for_match_rule(rule, bus, None).await.expect("the bus runs");
        let menu = Proxy::new(bus, icon.owner, path, "com.canonical.dbusmenu").await;
        Self { item, menu: menu.expect("the names are right"), signals }
    }

    /// The rows now.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let none: Vec<&str> = Vec::new();
        let answer: zbus::Result<(u32, Layout)> = self.menu.call("GetLayout", &(0, -1, none)).await;
        Row::read(answer.expect("the app answers").1).rows
    }

    /// Waits until the menu is as somebody wants it, and gives what they found in it.
    ///
    /// # Panics
    /// When that takes too long, with the menu as it is.
    pub(crate) async fn until<T>(&mut self, what: &str, wanted: impl Fn(&[Row]) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let rows = self.rows().await;
            if let Some(found) = wanted(&rows) {
                return found;
            }
            let signal = tokio::time::timeout_at(deadline, self.signals.next()).await;
            assert!(signal.is_ok(), "{what} is not shown:\n{}", Shown(&rows));
        }
    }

    /// Waits for the line that says how things stand.
    pub(crate) async fn status(&mut self, text: &str) {
        self.until(text, |rows| (rows.first()?.text == text).then_some(())).await;
    }

    /// Waits for a row, by the texts that lead to it, and clicks it.
    pub(crate) async fn click(&mut self, path: &[&str]) {
        let row = self.until(&path.join(" > "), |rows| find(rows, path).cloned()).await;
        assert!(row.is_enabled, "{} cannot be clicked", row.text);
        let event = (row.number, "clicked", Value::from(0), 0_u32);
        // Without waiting: who quits does not answer.
        self.menu.call_noreply("Event", &event).await.expect("the bus runs");
    }

    /// The file of the icon that is shown.
    pub(crate) async fn picture(&self) -> PathBuf {
        // Not from a cache: the app tells of new icons by signals of another kind.
        let properties = Proxy::new(
            self.item.connection(),
            self.item.destination().to_owned(),
            self.item.path().to_owned(),
            "org.freedesktop.DBus.Properties",
        );
        let properties = properties.await.expect("the names are right");
        let name = ("org.kde.StatusNotifierItem", "IconName");
        let name: OwnedValue = properties.call("Get", &name).await.expect("the icon has a picture");
        PathBuf::from(String::try_from(name).expect("a name is a text"))
    }
}

/// A row by the beginnings of the texts that lead to it.
pub(crate) fn find<'a>(rows: &'a [Row], path: &[&str]) -> Option<&'a Row> {
    let (first, rest) = path.split_first()?;
    let row = rows.iter().find(|row| row.text.starts_with(first))?;
    if rest.is_empty() { Some(row) } else { find(&row.rows, rest) }
}

impl Row {
    fn read((number, properties, inside): Layout) -> Self {
        let get = |name: &str| properties.get(name).map(|value| &**value);
        let text = match get("label") {
            // An underscore would mark the letter to press.
            Some(Value::Str(text)) => text.replace("__", "_"),
            _ => String::new(),
        };
        let layout = |value: OwnedValue| Layout::try_from(value).expect("rows are all alike");
        Self {
            number,
            text,
            is_enabled: !matches!(get("enabled"), Some(Value::Bool(false))),
            is_checked: matches!(get("toggle-state"), Some(Value::I32(1))),
            rows: inside.into_iter().map(layout).map(Self::read).collect(),
        }
    }
}

/// Rows for the message of a failed test.
pub(crate) struct Shown<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.0 {
            writeln!(f, "  {}", row.text)?;
            for inside in &row.rows {
                writeln!(f, "      {}", inside.text)?;
            }
        }
        Ok(())
    }
}
