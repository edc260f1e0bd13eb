//! The examples of the README do what it shows.

/// Runs every console example and compares its output. The program sees the width that the README
/// shows, and no terminal.
#[test]
fn examples_of_the_readme_run() {
    trycmd::TestCases::new()
        .case("README.md")
        .env("COLUMNS", "100")
        .env("LC_ALL", "C.UTF-8")
        .env("NO_COLOR", "1");
}
