//! The captures in `testdata` are byte for byte what their recipes make.
//!
//! With `PORTMORTEM_WRITE_TESTDATA=1` in the environment they are written instead of compared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::BTreeSet;
use std::{env, fs};

use support::case;
use support::recipes::RECIPES;

#[test]
fn every_capture_is_what_its_recipe_makes() {
    let write = env::var_os("PORTMORTEM_WRITE_TESTDATA").is_some_and(|value| value == "1");
    let mut stale = Vec::new();
    for recipe in &RECIPES {
        let folder = case::testdata().join(recipe.case);
        for (name, bytes) in recipe.files() {
            let path = folder.join(name);
            if write {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, bytes).unwrap();
            } else if fs::read(&path).ok() != Some(bytes) {
                stale.push(path);
            }
        }
    }
    assert!(
        stale.is_empty(),
        "not what their recipes make: {stale:#?}\nPORTMORTEM_WRITE_TESTDATA=1 writes them anew"
    );
}

#[test]
fn every_folder_has_a_recipe_and_an_expectation() {
    let folders: BTreeSet<String> = case::all().into_iter().map(|case| case.name).collect();
    let recipes = RECIPES.iter().map(|recipe| recipe.case.to_owned()).collect();
    assert_eq!(folders, recipes);
}

#[test]
fn every_folder_holds_its_recipes_files_and_no_others() {
    for recipe in &RECIPES {
        let mut expected: BTreeSet<String> =
            recipe.files().into_iter().map(|(name, _)| name.to_owned()).collect();
        expected.insert("case.toml".to_owned());
        let found = fs::read_dir(case::testdata().join(recipe.case))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(expected, found, "{}", recipe.case);
    }
}

#[test]
fn every_case_is_explained_in_the_readme() {
    let readme = fs::read_to_string(case::testdata().join("README.md")).unwrap();
    for recipe in &RECIPES {
        assert!(readme.contains(&format!("| `{}` |", recipe.case)), "{}", recipe.case);
    }
}
