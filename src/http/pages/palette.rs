//! From one accent colour to all that follow from it, each legible where it is used (WCAG 2.2, 1.4.3 and 1.4.11).

use std::fmt::Write as _;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

const BLACK: Colour = [0, 0, 0];
const WHITE: Colour = [255, 255, 255];

/// The backgrounds of `style.css` on which text in the accent colour is hardest to read: the page in light, the card in dark.
pub(super) const LIGHT_BACKGROUND: Colour = [0xf4, 0xf6, 0xf5];
pub(super) const DARK_BACKGROUND: Colour = [0x18, 0x1e, 0x1b];

/// The least contrast of text with its background, and a little for tinted backgrounds.
const TEXT: f64 = 4.5 * 1.2;
/// The least contrast of a shape with its background.
const SHAPE: f64 = 3.0;

/// The custom properties that follow from the accent colour, for both schemes. `shapes` are more lines for both.
pub(super) fn stylesheet(accent: Colour, shapes: &str) -> String {
    let on_accent = on(accent);
    // Away from the text, so that its contrast only grows.
    let strong = mix(accent, if on_accent == WHITE { BLACK } else { WHITE }, 0.14);
    format!(
        "/* Made from the settings. */\n:root {{\n--accent: {};\n--accent-strong: {};\n--on-accent: {};\n{}{shapes}}}\n\
         @media (prefers-color-scheme: dark) {{\n:root {{\n{}}}\n}}\n",
        hex(accent),
        hex(strong),
        hex(on_accent),
        scheme(accent, LIGHT_BACKGROUND, BLACK),
        scheme(accent, DARK_BACKGROUND, WHITE),
    )
}

/// Black or white, whichever is legible on `colour`; white where both are. One always is: the two contrasts multiply to 21.
pub(super) fn on(colour: Colour) -> Colour {
    if contrast(WHITE, colour) >= 4.5 { WHITE } else { BLACK }
}

/// `#rrggbb`.
pub(super) fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn scheme(accent: Colour, background: Colour, towards: Colour) -> String {
    let text = legible(accent, background, towards, TEXT);
    let [red, green, blue] = text;
    let mut lines = format!(
        "--accent-text: {};\n--accent-edge: {};\n",
        hex(text),
        hex(legible(accent, background, towards, SHAPE))
    );
    for (name, percent) in [("soft", 8), ("line", 28), ("ring", 32)] {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "--accent-{name}: rgb({red} {green} {blue} / {percent}%);");
    }
    lines
}

/// The first shade on the way to `towards` that has this contrast with the background.
fn legible(colour: Colour, background: Colour, towards: Colour, least: f64) -> Colour {
    let shades = (0..=100).map(|step| mix(colour, towards, f64::from(step) / 100.0));
    let mut legible = shades.filter(|shade| contrast(*shade, background) >= least);
    legible.next().unwrap_or(towards)
}

fn mix(from: Colour, to: Colour, part: f64) -> Colour {
    std::array::from_fn(|index| {
        let (from, to) = (f64::from(from[index]), f64::from(to[index]));
        nearest_byte(from + (to - from) * part)
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of a byte first")]
fn nearest_byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio").
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// WCAG 2.2, "relative luminance".
fn luminance(colour: Colour) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every colour whose parts are multiples of 17, the corners included.
    fn colours() -> impl Iterator<Item = Colour> {
        let parts = || (0..=255_u8).step_by(17);
        parts().flat_map(move |red| parts().flat_map(move |green| parts().map(move |blue| [red, green, blue])))
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        assert!((contrast(BLACK, WHITE) - 21.0).abs() < 1e-9);
        assert!((contrast([0x77, 0x77, 0x77], WHITE) - 4.478).abs() < 1e-3);
        assert!((contrast(WHITE, WHITE) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn text_on_any_accent_and_in_any_accent_can_be_read() {
        for accent in colours() {
            let text = on(accent);
            assert!(contrast(text, accent) >= 4.5, "{accent:?}");
            let strong = mix(accent, if text == WHITE { BLACK } else { WHITE }, 0.14);
            assert!(contrast(text, strong) >= 4.5, "{accent:?}");
            for (background, towards) in [(LIGHT_BACKGROUND, BLACK), (DARK_BACKGROUND, WHITE)] {
                let text = legible(accent, background, towards, TEXT);
                // A badge: text on a tint of 8 percent of itself.
                assert!(contrast(text, mix(background, text, 0.08)) >= 4.5, "{accent:?} on {background:?}");
            }
        }
    }

    #[test]
    fn an_accent_that_can_be_read_stays_as_it_is() {
        assert_eq!(legible([0, 0x55, 0x33], LIGHT_BACKGROUND, BLACK, TEXT), [0, 0x55, 0x33]);
        assert_ne!(legible([0xff, 0xdd, 0], LIGHT_BACKGROUND, BLACK, TEXT), [0xff, 0xdd, 0]);
    }

    #[test]
    fn the_backgrounds_are_those_of_the_stylesheet() {
        let style = include_str!("assets/style.css");
        let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
        assert!(light.contains(&format!("--page: {};", hex(LIGHT_BACKGROUND))));
        assert!(dark.contains(&format!("--card: {};", hex(DARK_BACKGROUND))));
    }
}
