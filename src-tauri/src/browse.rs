//! What is opened without a click: the address of a port on which a program begins to listen, where the configuration
//! says `"onAutoForward": "openBrowser"`, `openBrowserOnce` or `openPreview`.

use std::collections::VecDeque;
use std::time::Duration;

use api::{EventKind, PortAction};
use tokio::time::Instant;

/// How many addresses are opened within [`SPAN`]. The configuration is a stranger's, perhaps, and the programs are too: a
/// thousand ports are not to be a thousand pages.
const MOST: usize = 5;
const SPAN: Duration = Duration::from_mins(1);

/// What was opened lately.
#[derive(Debug, Default)]
pub(crate) struct Browsing {
    opened: VecDeque<Instant>,
}

impl Browsing {
    /// The address that is to be opened for an event, if one is.
    pub(crate) fn address(&mut self, event: &EventKind, now: Instant) -> Option<String> {
        let EventKind::PortListens { port } = event else { return None };
        match port.on_listen {
            // There is no editor here whose preview it could be.
            PortAction::OpenBrowser | PortAction::OpenBrowserOnce | PortAction::OpenPreview => {}
            PortAction::Notify | PortAction::Silent | PortAction::Ignore => return None,
        }
        let address = port.url()?;
        while self.opened.front().is_some_and(|opened| now.duration_since(*opened) >= SPAN) {
            self.opened.pop_front();
        }
        if self.opened.len() >= MOST {
            tracing::warn!(address, "not opened: {MOST} others were within a minute");
            return None;
        }
        self.opened.push_back(now);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use api::{PortProtocol, PortStatus, Transport};

    use super::*;

    fn listens(on_listen: PortAction, change: impl FnOnce(&mut PortStatus)) -> EventKind {
        let mut port = PortStatus { on_listen, host_port: Some(13_000), ..PortStatus::new(3000) };
        change(&mut port);
        EventKind::PortListens { port }
    }

    #[test]
    fn only_what_asks_for_a_browser_gets_one() {
        let http = Some("http://localhost:13000".to_owned());
        for (event, address) in [
            (listens(PortAction::OpenBrowser, |_| {}), http.clone()),
            (listens(PortAction::OpenBrowserOnce, |_| {}), http.clone()),
            (listens(PortAction::OpenPreview, |_| {}), http),
            (
                listens(PortAction::OpenBrowser, |port| port.protocol = PortProtocol::Https),
                Some("https://localhost:13000".to_owned()),
            ),
            (listens(PortAction::OpenBrowser, |port| port.host_port = None), None),
            (listens(PortAction::OpenBrowser, |port| port.transport = Transport::Udp), None),
            (listens(PortAction::Notify, |_| {}), None),
            (listens(PortAction::Silent, |_| {}), None),
            (listens(PortAction::Ignore, |_| {}), None),
            (EventKind::Changed, None),
        ] {
            assert_eq!(Browsing::default().address(&event, Instant::now()), address, "{event:?}");
        }
    }

    #[test]
    fn many_at_once_are_not_many_pages() {
        let (mut browsing, begun) = (Browsing::default(), Instant::now());
        let event = listens(PortAction::OpenBrowser, |_| {});
        let opened = |browsing: &mut Browsing, at: Instant| {
            (0..1000).filter(|_| browsing.address(&event, at).is_some()).count()
        };
        assert_eq!(opened(&mut browsing, begun), MOST);
        assert_eq!(opened(&mut browsing, begun + SPAN / 2), 0);
        assert_eq!(opened(&mut browsing, begun + SPAN), MOST);
    }
}
