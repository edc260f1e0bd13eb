//! Runs the command line of portmortem.

fn main() {}
