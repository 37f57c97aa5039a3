//! A file named on the command line; `-` means standard input.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

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

    /// Reads the whole file.
    pub(super) fn read(&self, stdin: &mut dyn Read) -> io::Result<String> {
        if self.is_stdin() { io::read_to_string(stdin) } else { fs::read_to_string(&self.0) }
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
    fn anything_else_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "written").unwrap();
        let input = InputFile(path.clone());

        assert_eq!(input.read(&mut "said".as_bytes()).unwrap(), "written");
        assert_eq!(input.to_string(), path.display().to_string());
    }
}
