//! Where commands print. A reader that goes away ends the output, not the program.

use std::{
    io::{ErrorKind, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

static LOST: AtomicBool = AtomicBool::new(false);

/// Prints one line for whoever asked.
pub(super) fn print_line(line: &str) {
    print_raw(&format!("{line}\n"));
}

/// Prints a text as it is.
pub(super) fn print_raw(text: &str) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Nobody is left to tell when the reader has gone. A full disk is another matter: a secret is shown only once.
        LOST.fetch_or(error.kind() != ErrorKind::BrokenPipe, Ordering::Relaxed);
    }
}

/// Whether a line could not be written although somebody wants it.
pub(super) fn was_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Prints one line about what is wrong.
pub(super) fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "ephemint: {line}");
}

/// Prints rows in columns under a heading; one without a word is left out.
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
    if heading.iter().any(|word| !word.is_empty()) {
        line(heading);
    }
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
}
