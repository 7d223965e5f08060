//! The page in the app's window, read and pressed through WebKit's own WebDriver.

use std::process::{Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use test_support::free_port;

use crate::desktop::Ending;
use crate::place::{PATIENCE, Place, soon};

/// A window that can be looked at and used.
pub(crate) struct Window {
    page: Client,
    _driver: Ending,
}

impl Window {
    /// Starts the app with these words, which have it open its window.
    pub(crate) async fn open(place: &Place, words: &[&str]) -> Self {
        let port = free_port();
        let mut driver = Command::new("WebKitWebDriver");
        driver.arg(format!("--port={port}"));
        place.dress(&mut driver);
        driver.env("TAURI_AUTOMATION", "true").env("TAURI_WEBVIEW_AUTOMATION", "true");
        driver.env("WEBKIT_DISABLE_COMPOSITING_MODE", "1").stderr(Stdio::null());
        let driver = Ending(driver.spawn().expect("the driver is installed"));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let options = json!({ "binary": place.program(), "args": words });
        builder.capabilities([("webkitgtk:browserOptions".to_owned(), options)].into_iter().collect());
        let (address, mut page) = (format!("http://127.0.0.1:{port}"), None);
        soon("the driver", async || {
            // It takes a moment until it listens.
            page = builder.connect(&address).await.ok();
            page.is_some()
        })
        .await;
        Self { page: page.expect("it was waited for"), _driver: driver }
    }

    /// Waits until the page says so.
    ///
    /// # Panics
    /// When it does not, with what it says.
    pub(crate) async fn says(&self, text: &str) {
        let mut seen = String::new();
        let said = async {
            while !seen.contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                seen = self.text().await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        assert!(said.is_ok(), "`{text}` is not said, but:\n{seen}");
    }

    /// All that can be read.
    pub(crate) async fn text(&self) -> String {
        let text = self.page.execute("return document.body.innerText", Vec::new()).await;
        // A page that is just loaded has none yet.
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Presses what says this.
    pub(crate) async fn press(&self, words: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()='{words}']");
        let found = self.page.wait().for_element(Locator::XPath(&path)).await;
        found.unwrap_or_else(|error| panic!("{words}: {error}")).click().await.expect("it can be pressed");
    }

    /// Types into what a selector of CSS finds.
    pub(crate) async fn types(&self, into: &str, text: &str) {
        let found = self.page.wait().for_element(Locator::Css(into)).await;
        let found = found.unwrap_or_else(|error| panic!("{into}: {error}"));
        found.send_keys(text).await.expect("it takes what is typed");
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str) -> serde_json::Value {
        self.page.execute(script, Vec::new()).await.expect("the script is right")
    }
}
