//! Reads what an HTML form sends (`application/x-www-form-urlencoded`, WHATWG URL §5.1), without that format's tolerance.
//!
//! Lenient readers replace what they cannot decode, and so make one password of many. Here it is a fault, as is a name that
//! occurs twice, of which readers disagree which one counts.

use std::collections::BTreeMap;

/// Why a body is not an unambiguous form. The body itself is not repeated, since it may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUrlencoded {
    /// A percent sign is not followed by two hexadecimal digits.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Escape,
    /// A name or value is not UTF-8.
    #[error("a name or value is not UTF-8")]
    NotText,
    /// A name or value holds U+0000, which Postgres cannot store.
    #[error("a name or value holds the character U+0000")]
    Nul,
    /// A name occurs twice.
    #[error("a name occurs twice")]
    DuplicateName,
}

/// The fields of a form.
///
/// # Errors
/// [`NotUrlencoded`] says what is wrong with it.
pub fn fields(body: &[u8]) -> Result<BTreeMap<String, String>, NotUrlencoded> {
    let mut fields = BTreeMap::new();
    for pair in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut parts = pair.splitn(2, |&byte| byte == b'=');
        let name = decode(parts.next().unwrap_or_default())?;
        let value = decode(parts.next().unwrap_or_default())?;
        if fields.insert(name, value).is_some() {
            return Err(NotUrlencoded::DuplicateName);
        }
    }
    Ok(fields)
}

fn decode(mut written: &[u8]) -> Result<String, NotUrlencoded> {
    let mut bytes = Vec::with_capacity(written.len());
    while let Some((&first, mut rest)) = written.split_first() {
        let byte = match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>().ok_or(NotUrlencoded::Escape)?;
                rest = after;
                escaped(*digits).ok_or(NotUrlencoded::Escape)?
            }
            byte => byte,
        };
        if byte == 0 {
            return Err(NotUrlencoded::Nul);
        }
        bytes.push(byte);
        written = rest;
    }
    String::from_utf8(bytes).map_err(|_| NotUrlencoded::NotText)
}

/// The byte that two hexadecimal digits stand for.
pub(super) fn escaped(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    Some(high? * 16 + low?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = fields(b"username=zo%C3%AB+b&password=%20%2B%26%3D%25%0D%0A&&empty=&bare&a=b=c").unwrap();
        let read = |name: &str| form.get(name).map(String::as_str);
        assert_eq!(read("username"), Some("zoë b"));
        assert_eq!(read("password"), Some(" +&=%\r\n"));
        assert_eq!((read("empty"), read("bare"), read("a")), (Some(""), Some(""), Some("b=c")));
        assert_eq!(form.len(), 5);
        assert!(fields(b"").unwrap().is_empty());
    }

    #[test]
    fn nothing_is_repaired() {
        for (body, fault) in [
            (b"a=%zz".as_slice(), NotUrlencoded::Escape),
            (b"a=%", NotUrlencoded::Escape),
            (b"a=%4", NotUrlencoded::Escape),
            (b"a=%+1", NotUrlencoded::Escape),
            (b"%=a", NotUrlencoded::Escape),
            (b"a=%ff", NotUrlencoded::NotText),
            (b"a=\xff", NotUrlencoded::NotText),
            (b"a=%C3", NotUrlencoded::NotText),
            (b"a=%ED%A0%80", NotUrlencoded::NotText),
            (b"a=%00", NotUrlencoded::Nul),
            (b"a=\0", NotUrlencoded::Nul),
            (b"a\0=b", NotUrlencoded::Nul),
            (b"a=1&a=1", NotUrlencoded::DuplicateName),
            (b"a=1&%61=2", NotUrlencoded::DuplicateName),
            (b"a&a=", NotUrlencoded::DuplicateName),
        ] {
            assert_eq!(fields(body), Err(fault), "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(form in prop::collection::btree_map("[^\0]{1,8}", "[^\0]{0,8}", 0..4)) {
            let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
            prop_assert_eq!(fields(written.as_bytes()), Ok(form));
        }
    }
}
