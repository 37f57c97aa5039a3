//! The `tracebuffer` binary: hands over to [`tracebuffer::cli`].

fn main() {}
