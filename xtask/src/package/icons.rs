//! Icons, drawn from their SVG sources in `package/icons/`.
//!
//! The app's icon is drawn when the app is packaged. Those of the menu bar are compiled into the app, so they are kept in
//! the repository, and a test holds that they are what their sources draw.

use camino::{Utf8Path, Utf8PathBuf};
use icns::{IconFamily, IconType, Image, PixelFormat};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The sizes of an app's icon, up to 1024 pixels. (The oldest kinds, without alpha, are of no use since macOS 10.7.)
const SIZES: [IconType; 10] = [
    IconType::RGBA32_16x16,
    IconType::RGBA32_16x16_2x,
    IconType::RGBA32_32x32,
    IconType::RGBA32_32x32_2x,
    IconType::RGBA32_128x128,
    IconType::RGBA32_128x128_2x,
    IconType::RGBA32_256x256,
    IconType::RGBA32_256x256_2x,
    IconType::RGBA32_512x512,
    IconType::RGBA32_512x512_2x,
];

/// The states of the menu bar's icon, told by shape: macOS gives it its colour.
const STATES: [&str; 4] = ["stopped", "starting", "running", "attention"];

/// Height and width in the menu bar, and for displays of which density.
const MENU_BAR: [(u32, &str); 3] = [(18, ""), (36, "@2x"), (54, "@3x")];

/// The app's icon for windows of systems that are no Macs, and for pages.
const KEPT: (&str, u32, &str) = ("cove", 256, "");

/// An icon could not be drawn.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IconsError {
    #[error("{file} is not an SVG that can be drawn")]
    Source { file: Utf8PathBuf, source: resvg::usvg::Error },
    #[error("{file} cannot be drawn with {pixels} pixels")]
    Size { file: Utf8PathBuf, pixels: u32 },
    #[error("could not write a picture")]
    Picture(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Draws a square picture.
fn draw(file: &Utf8Path, pixels: u32) -> Result<Pixmap, IconsError> {
    let tree = Tree::from_data(&fs_err::read(file)?, &Options::default())
        .map_err(|source| IconsError::Source { file: file.to_owned(), source })?;
    let mut picture =
        Pixmap::new(pixels, pixels).ok_or(IconsError::Size { file: file.to_owned(), pixels })?;
    let scale = pixels as f32 / tree.size().width();
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    Ok(picture)
}

fn png(picture: &Pixmap) -> Result<Vec<u8>, IconsError> {
    picture.encode_png().map_err(|error| IconsError::Picture(error.into()))
}

/// The app's icon in all sizes, as one file.
pub(super) fn icns(source: &Utf8Path) -> Result<Vec<u8>, IconsError> {
    let mut family = IconFamily::new();
    for kind in SIZES {
        let picture = draw(source, kind.pixel_width())?;
        let pixels = picture.pixels().iter().flat_map(|pixel| {
            let plain = pixel.demultiply();
            [plain.red(), plain.green(), plain.blue(), plain.alpha()]
        });
        let image = Image::from_data(PixelFormat::RGBA, picture.width(), picture.height(), pixels.collect())?;
        family.add_icon_with_type(&image, kind)?;
    }
    let mut bytes = Vec::new();
    family.write(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with an app's icon.
pub(super) fn faults(icon: &[u8]) -> Vec<String> {
    let Ok(family) = IconFamily::read(icon) else {
        return vec!["the icon is damaged".to_owned()];
    };
    let missing = SIZES.iter().filter(|kind| family.get_icon_with_type(**kind).is_err());
    missing.map(|kind| format!("the icon has no picture of {} pixels", kind.pixel_width())).collect()
}

/// The pictures that are kept in the repository: where, and what their sources draw.
fn kept(repository: &Utf8Path) -> Result<Vec<(Utf8PathBuf, Vec<u8>)>, IconsError> {
    let folder = repository.join("package/icons");
    let menu_bar = STATES.iter().flat_map(|state| {
        MENU_BAR.iter().map(move |(pixels, density)| (format!("menu-bar/{state}"), *pixels, *density))
    });
    let (name, pixels, density) = KEPT;
    menu_bar
        .chain([(name.to_owned(), pixels, density)])
        .map(|(name, pixels, density)| {
            let picture = draw(&folder.join(format!("{name}.svg")), pixels)?;
            Ok((folder.join(format!("{name}{density}.png")), png(&picture)?))
        })
        .collect()
}

/// Draws the pictures that are kept in the repository.
pub(super) fn draw_kept(repository: &Utf8Path) -> Result<(), IconsError> {
    for (file, bytes) in kept(repository)? {
        fs_err::write(file, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use resvg::tiny_skia::PremultipliedColorU8;

    use super::*;

    fn repository() -> &'static Utf8Path {
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn kept_pictures_are_what_their_sources_draw() {
        for (file, bytes) in kept(repository()).unwrap() {
            let found = fs_err::read(&file).unwrap_or_default();
            assert!(found == bytes, "{file}: run `cargo xtask package icons`");
        }
    }

    #[test]
    fn menu_bar_pictures_are_black_and_clear_and_unlike_each_other() {
        let mut shapes = Vec::new();
        for state in STATES {
            let picture =
                draw(&repository().join(format!("package/icons/menu-bar/{state}.svg")), 18).unwrap();
            let colours = picture.pixels().iter().map(PremultipliedColorU8::demultiply);
            let coloured = colours.filter(|c| c.alpha() > 0 && (c.red(), c.green(), c.blue()) != (0, 0, 0));
            assert_eq!(coloured.count(), 0, "{state} has colours, which macOS would not show");
            shapes.push(picture.pixels().iter().map(|pixel| pixel.alpha()).collect::<Vec<_>>());
        }
        for (index, shape) in shapes.iter().enumerate() {
            for other in &shapes[index + 1..] {
                let unlike = shape.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 96).count();
                assert!(unlike >= 8, "two states can hardly be told apart: {unlike} pixels");
            }
        }
    }

    #[test]
    fn the_app_icon_has_every_size_and_a_missing_one_is_told() {
        let icon = icns(&repository().join("package/icons/cove.svg")).unwrap();
        assert!(faults(&icon).is_empty());
        let mut family = IconFamily::read(&*icon).unwrap();
        family.elements.pop();
        let mut less = Vec::new();
        family.write(&mut less).unwrap();
        assert_eq!(faults(&less), ["the icon has no picture of 1024 pixels"]);
        assert_eq!(faults(&icon[..icon.len() / 2]), ["the icon is damaged"]);
    }
}
