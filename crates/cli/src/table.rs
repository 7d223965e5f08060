//! Columns as wide as what they hold.

use crate::paint::Paint;
use crate::text::harmless;

/// One cell: its text and, apart from it, how it is painted, so that colour does not count as width.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    painted: Option<String>,
}

impl Cell {
    /// Names and labels come from repositories and containers: what could move the cursor is taken out.
    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), painted: None }
    }

    pub(crate) fn painted(text: &str, painted: String) -> Self {
        Self { text: text.to_owned(), painted: Some(painted) }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn shown(&self) -> &str {
        self.painted.as_deref().unwrap_or(&self.text)
    }
}

/// Lines of a table with a heading.
pub(crate) fn render(heading: &[&str], rows: &[Vec<Cell>], paint: Paint) -> String {
    let heading: Vec<_> = heading.iter().map(|text| Cell::painted(text, paint.bold(text))).collect();
    aligned(std::iter::once(&heading).chain(rows), "")
}

/// Lines of pairs, moved in: `  name  value`.
pub(crate) fn pairs(rows: &[(String, String)], paint: Paint) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, value)| {
            let name = harmless(name);
            vec![Cell::painted(&name, paint.dim(&name)), Cell::plain(value)]
        })
        .collect();
    aligned(rows.iter(), "  ")
}

fn aligned<'a>(rows: impl Iterator<Item = &'a Vec<Cell>> + Clone, indent: &str) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows.clone() {
        for (at, cell) in row.iter().enumerate() {
            match widths.get_mut(at) {
                Some(width) => *width = (*width).max(cell.width()),
                None => widths.push(cell.width()),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (at, cell) in row.iter().enumerate() {
            line.push_str(cell.shown());
            if at + 1 < row.len() {
                line.push_str(&" ".repeat(widths[at] - cell.width() + 2));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
