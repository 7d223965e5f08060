//! Size and place of the window, as they were and as they can be now. In logical pixels.

use std::io;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::opening;

/// Least width and height.
pub(super) const LEAST: (f64, f64) = (360.0, 420.0);

/// Width and height of the first window.
const USUAL: (f64, f64) = (1120.0, 740.0);

/// So much of a window must be on a screen to be found and moved.
const SEEN: f64 = 120.0;

/// Most bytes of the file.
const LONGEST: u64 = 4 << 10;

/// Where a window is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its upper left corner; wherever the system puts it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<(f64, f64)>,
    /// Without its frame.
    pub(super) width: f64,
    /// Without its frame.
    pub(super) height: f64,
    /// Whether it fills its screen.
    #[serde(default)]
    pub(super) maximized: bool,
}

/// A screen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What was remembered; nothing if that cannot be read, for the next window writes it anew.
pub(super) fn read(file: &Utf8Path) -> Option<Place> {
    let is_short = file.metadata().is_ok_and(|found| found.len() <= LONGEST);
    let text = is_short.then(|| std::fs::read(file).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// Remembers it.
pub(super) fn keep(file: &Utf8Path, place: Place) -> io::Result<()> {
    opening::write(file, &serde_json::to_vec(&place)?)
}

/// What was remembered as it fits the screens there are: a screen may be gone, or be smaller than another was.
pub(super) fn fitting(remembered: Option<Place>, screens: &[Area]) -> Place {
    let (width, height) = USUAL;
    let place = remembered.unwrap_or(Place { at: None, width, height, maximized: false });
    let screen = place.at.and_then(|(x, y)| {
        let sees = |screen: &&Area| {
            let across = (x + place.width).min(screen.x + screen.width) - x.max(screen.x);
            // The title bar is at the top: that is what must be reached.
            across >= SEEN && y >= screen.y && y + SEEN <= screen.y + screen.height
        };
        screens.iter().find(sees)
    });
    let bounds = screen.or(screens.first());
    let within = |size: f64, least: f64, most: Option<f64>| {
        let most = most.filter(|most| *most > least).unwrap_or(f64::MAX);
        if size.is_finite() { size.clamp(least, most) } else { least }
    };
    Place {
        at: place.at.filter(|_| screen.is_some()),
        width: within(place.width, LEAST.0, bounds.map(|it| it.width)),
        height: within(place.height, LEAST.1, bounds.map(|it| it.height)),
        maximized: place.maximized,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCREEN: Area = Area { x: 0.0, y: 0.0, width: 1440.0, height: 900.0 };
    const BESIDE: Area = Area { x: 1440.0, y: 0.0, width: 1024.0, height: 768.0 };

    fn place(x: f64, y: f64, width: f64, height: f64) -> Place {
        Place { at: Some((x, y)), width, height, maximized: false }
    }

    #[test]
    fn a_window_comes_where_it_was_if_that_is_on_a_screen() {
        for (was, screens, is) in [
            (place(10.0, 20.0, 800.0, 600.0), vec![SCREEN], place(10.0, 20.0, 800.0, 600.0)),
            (place(1500.0, 20.0, 800.0, 600.0), vec![SCREEN, BESIDE], place(1500.0, 20.0, 800.0, 600.0)),
            // Larger than its screen.
            (place(1450.0, 20.0, 1400.0, 900.0), vec![SCREEN, BESIDE], place(1450.0, 20.0, 1024.0, 768.0)),
            // Half of it is away.
            (place(-400.0, 20.0, 800.0, 600.0), vec![SCREEN], place(-400.0, 20.0, 800.0, 600.0)),
        ] {
            assert_eq!(fitting(Some(was), &screens), is);
        }
        for away in [
            place(1500.0, 20.0, 800.0, 600.0),
            place(-750.0, 20.0, 800.0, 600.0),
            place(10.0, -30.0, 800.0, 600.0),
            place(10.0, 850.0, 800.0, 600.0),
        ] {
            assert_eq!(fitting(Some(away), &[SCREEN]), Place { at: None, ..away });
        }
    }

    #[test]
    fn the_first_window_has_a_size_that_fits() {
        assert_eq!(fitting(None, &[]), Place { at: None, width: USUAL.0, height: USUAL.1, maximized: false });
        let small = Area { width: 800.0, height: 600.0, ..SCREEN };
        assert_eq!((fitting(None, &[small]).width, fitting(None, &[small]).height), (800.0, 600.0));
    }

    #[test]
    fn it_is_read_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("app-window.json");
        assert_eq!(read(&file), None);
        keep(&file, place(1.5, 2.0, 800.0, 600.0)).unwrap();
        assert_eq!(read(&file), Some(place(1.5, 2.0, 800.0, 600.0)));
        for odd in ["", "{}", "[1]", "{\"width\":null,\"height\":1}"] {
            std::fs::write(&file, odd).unwrap();
            assert_eq!(read(&file), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_kept_a_window_can_be_seen(
            x in any::<f64>(), y in any::<f64>(), width in any::<f64>(), height in any::<f64>(),
        ) {
            let fits = fitting(Some(place(x, y, width, height)), &[SCREEN]);
            prop_assert!(fits.width >= LEAST.0 && fits.width <= SCREEN.width, "{fits:?}");
            prop_assert!(fits.height >= LEAST.1 && fits.height <= SCREEN.height, "{fits:?}");
            if let Some((x, y)) = fits.at {
                prop_assert!(x.is_finite() && y.is_finite() && y >= 0.0 && x < SCREEN.width, "{fits:?}");
            }
        }
    }
}
