//! One signature, one spelling: ES256 signatures carry the lower of the two possible values of `s`.
//!
//! For every ECDSA signature (r, s) the pair (r, n − s) verifies as well, so a third party could respell a token. We sign
//! with the lower half only and refuse the upper half. RFC 7518 §3.4 allows both, so every validator accepts ours.

/// The order n of P-256 (NIST SP 800-186 §3.2.1.3), big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// n / 2, rounded down: the highest `s` that is low.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d,
    0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Whether `s` is in the lower half. Signatures are public, so the comparison need not take constant time.
pub(super) fn is_low(s: &[u8; 32]) -> bool {
    *s <= HALF_ORDER
}

/// n − s, for an `s` below n.
pub(super) fn negated(s: &[u8; 32]) -> [u8; 32] {
    let mut difference = [0; 32];
    let mut borrow = false;
    for position in (0..32).rev() {
        let (value, first) = ORDER[position].overflowing_sub(s[position]);
        let (value, second) = value.overflowing_sub(u8::from(borrow));
        difference[position] = value;
        borrow = first || second;
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_meet_in_the_middle() {
        let mut next = HALF_ORDER;
        next[31] += 1;
        assert!(is_low(&HALF_ORDER) && !is_low(&next));
        assert_eq!(negated(&HALF_ORDER), next);
        assert_eq!(negated(&next), HALF_ORDER);
    }

    #[test]
    fn negation_borrows_across_bytes() {
        let one = std::array::from_fn(|position| u8::from(position == 31));
        let mut expected = ORDER;
        expected[31] = 0x50;
        assert_eq!(negated(&one), expected);
        assert_eq!(negated(&expected), one);
        let large: [u8; 32] = std::array::from_fn(|position| if position < 16 { 0 } else { 0xff });
        assert_eq!(negated(&negated(&large)), large);
    }
}
