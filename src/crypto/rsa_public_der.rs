//! Reads the two numbers out of an RSA public key in PKCS#1 form (RFC 8017 A.1.1): the crypto library exports no other.

/// The modulus and the exponent, big-endian and without leading zeros; nothing where the form is another.
pub(super) fn modulus_and_exponent(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = element(0x30, der)?;
    let (modulus, after_modulus) = element(0x02, sequence)?;
    let (exponent, after_exponent) = element(0x02, after_modulus)?;
    (rest.is_empty() && after_exponent.is_empty()).then_some((unsigned(modulus)?, unsigned(exponent)?))
}

/// The content of the first element, which must have this tag, and what follows it (X.690 §8.1, definite lengths only).
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der {
        [first, 0x81, length, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [first, length @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// An INTEGER whose top bit would be set has a zero before it; an unsigned number has none.
fn unsigned(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, 0x80..=0xff, ..] => integer.get(1..),
        [1..=0x7f, ..] => Some(integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_come_out_without_the_sign_byte() {
        let der = [0x30, 9, 0x02, 2, 0, 0x80, 0x02, 3, 1, 0, 1];
        assert_eq!(modulus_and_exponent(&der), Some(([0x80].as_slice(), [1, 0, 1].as_slice())));
    }

    #[test]
    fn cut_or_longer_input_is_refused() {
        let der = [0x30, 9, 0x02, 2, 0, 0x80, 0x02, 3, 1, 0, 1];
        for end in 0..der.len() {
            assert_eq!(modulus_and_exponent(&der[..end]), None);
        }
        assert_eq!(modulus_and_exponent(&[&der[..], &[0]].concat()), None);
    }

    #[test]
    fn a_negative_or_padded_number_is_refused() {
        assert_eq!(unsigned(&[0x80]), None);
        assert_eq!(unsigned(&[0, 1]), None);
        assert_eq!(unsigned(&[0]), None);
        assert_eq!(unsigned(&[]), None);
    }
}
