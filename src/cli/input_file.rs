//! A file named on the command line; `-` means standard input.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

const NOT_UTF8: &str = "it is neither UTF-8 nor UTF-16 text";
/// The file name that means standard input.
pub(super) const STDIN: &str = "-";

/// A file to read, or standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InputFile(pub(super) PathBuf);

impl InputFile {
    /// Returns whether this is standard input.
    pub(super) fn is_stdin(&self) -> bool {
        self.0.as_os_str() == OsStr::new(STDIN)
    }

    /// Reads the whole file, in UTF-8 or UTF-16.
    pub(super) fn read(&self, stdin: &mut dyn Read) -> io::Result<String> {
        let bytes = if self.is_stdin() {
            let mut bytes = vec![];
            stdin.read_to_end(&mut bytes)?;
            bytes
        } else {
            fs::read(&self.0)?
        };
        decode(bytes)
    }
}

/// Decodes text by its byte order mark, which is removed. Without one it is UTF-8, or UTF-16 if one of its
/// first two bytes is zero (YAML 1.2, 5.2). Editors and shells of Windows write all of these.
fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message);
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks();
        let text = char::decode_utf16(pairs.iter().copied().map(unit)).collect::<Result<_, _>>();
        text.ok().filter(|_| rest.is_empty()).ok_or_else(|| invalid("it is not valid UTF-16"))
    };
    match bytes.as_slice() {
        [0xfe, 0xff, text @ ..] | text @ [0, 1..=127, ..] => utf16(text, u16::from_be_bytes),
        [0xff, 0xfe, text @ ..] | text @ [1..=127, 0, ..] => utf16(text, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => {
            String::from_utf8(text.to_vec()).map_err(|_| invalid(NOT_UTF8))
        }
        _ => String::from_utf8(bytes).map_err(|_| invalid(NOT_UTF8)),
    }
}

impl fmt::Display for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_stdin() { f.write_str("standard input") } else { self.0.display().fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_input() {
        let input = InputFile(STDIN.into());

        assert_eq!(input.read(&mut "said".as_bytes()).unwrap(), "said");
        assert_eq!(input.to_string(), "standard input");
    }

    #[test]
    fn text_is_read_in_each_encoding_that_kubectl_reads() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| {
            text.encode_utf16().flat_map(bytes).collect::<Vec<_>>()
        };
        for encoded in [
            "a: é".as_bytes().to_vec(),
            "\u{feff}a: é".as_bytes().to_vec(),
            utf16("\u{feff}a: é", u16::to_be_bytes),
            utf16("\u{feff}a: é", u16::to_le_bytes),
            utf16("a: é", u16::to_be_bytes),
            utf16("a: é", u16::to_le_bytes),
        ] {
            assert_eq!(decode(encoded.clone()).unwrap(), "a: é", "{encoded:?}");
        }
        assert_eq!(decode(vec![]).unwrap(), "");
        for broken in [&b"a\xff"[..], b"\xff\xfea", b"\xfe\xff\xd8\x00"] {
            assert!(decode(broken.to_vec()).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn anything_else_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "written").unwrap();
        let input = InputFile(path.clone());

        assert_eq!(input.read(&mut "said".as_bytes()).unwrap(), "written");
        assert_eq!(input.to_string(), path.display().to_string());
    }
}
