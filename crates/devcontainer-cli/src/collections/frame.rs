//! A heading in a box, as `features info` has them.

/// The lines of a box around a bold heading.
pub(super) fn heading(text: &str) -> String {
    let line = "─".repeat(text.chars().count());
    format!("┌{line}┐\n│\u{1b}[1m{text}\u{1b}[22m│\n└{line}┘")
}

/// A table with its columns two spaces apart, each as wide as its widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_fits_its_box() {
        assert_eq!(heading("Tags"), "┌────┐\n│\u{1b}[1mTags\u{1b}[22m│\n└────┘");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["Feature", "Current"], ["a/b", "1.0.0"], ["ghcr.io/x/long", "-"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        insta::assert_snapshot!(table(&rows), @r"
        Feature         Current
        a/b             1.0.0
        ghcr.io/x/long  -
        ");
    }
}
