//! Where commands print. A reader that goes away ends the output, not the program.

use std::io::Write as _;

/// Prints one line for whoever asked.
pub(super) fn print_line(line: &str) {
    // Nobody is left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints one line about what is wrong.
pub(super) fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "ephemint: {line}");
}

/// Prints rows in columns under a heading.
pub(super) fn print_table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) {
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        print_line(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(heading);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
}
