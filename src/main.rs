//! The binary `router`: arguments to a command, and its exit code.

fn main() {}
