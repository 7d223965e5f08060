//! A desktop: an X server without a screen, a bus, and on it the one thing of a panel that programs with an icon
//! look for.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::sync::watch;
use zbus::names::OwnedBusName;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, interface, message, object_server::SignalEmitter};

/// Ends with the value.
pub(crate) struct Desktop {
    display: String,
    bus_address: String,
    pub(crate) bus: Connection,
    items: watch::Receiver<Option<Icon>>,
    _processes: [Ending; 2],
}

/// Where an icon with its menu is on the bus.
#[derive(Debug, Clone)]
pub(crate) struct Icon {
    pub(crate) owner: OwnedBusName,
    pub(crate) path: OwnedObjectPath,
}

/// A process that is killed with the value.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The part of a panel that icons announce themselves to.
struct Panel {
    items: watch::Sender<Option<Icon>>,
    has_host: bool,
    version: i32,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Panel {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: message::Header<'_>) {
        let owner = header.sender().expect("a bus names who calls").to_owned();
        let path = OwnedObjectPath::try_from(service).expect("the app gives its path");
        let owner = OwnedBusName::from(zbus::names::BusName::from(owner));
        self.items.send_replace(Some(Icon { owner, path }));
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        self.has_host
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        self.version
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.items.borrow().iter().map(|icon| format!("{}{}", icon.owner, icon.path)).collect()
    }

    #[zbus(signal)]
    async fn status_notifier_host_registered(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

impl Desktop {
    /// Programs it is made of that are not installed.
    pub(crate) fn missing() -> Vec<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        ["Xvfb", "dbus-daemon", "WebKitWebDriver"].into_iter().filter(|name| !is_there(name)).collect()
    }

    pub(crate) async fn start(folder: &Path) -> Self {
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
        let (server, number) = first_line(server);
        let mut daemon = Command::new("dbus-daemon");
        let address = format!("--address=unix:path={}/bus", folder.display());
        daemon.args(["--session", "--nofork", "--nopidfile", "--print-address", &address]);
        let (daemon, bus_address) = first_line(daemon);
        let (announced, items) = watch::channel(None);
        let panel = Panel { items: announced, has_host: true, version: 0 };
        let bus = zbus::connection::Builder::address(bus_address.as_str())
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", panel))
            .and_then(|builder| builder.name("org.kde.StatusNotifierWatcher"));
        let bus = bus.expect("the address and the names are right").build().await.expect("the bus runs");
        Self { display: format!(":{number}"), bus_address, bus, items, _processes: [server, daemon] }
    }

    /// The name of its X server.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    /// Lets a program appear on it.
    pub(crate) fn dress(&self, command: &mut Command) {
        command
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address)
            .env("NO_AT_BRIDGE", "1")
            .env("LANG", "en_US.UTF-8");
    }

    /// The icon that was announced last, once there is one.
    pub(crate) async fn icon(&mut self) -> Icon {
        let icon = self.items.wait_for(Option::is_some).await.expect("the panel lives");
        icon.clone().expect("there is one")
    }
}

/// Starts a program that first says where it can be reached.
fn first_line(mut command: Command) -> (Ending, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let output = child.as_mut().ok().and_then(|child| child.stdout.take()).expect("the program is installed");
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("it says something");
    assert!(!line.is_empty(), "{command:?} ended at once");
    (Ending(child.expect("it was started")), line.trim().to_owned())
}
