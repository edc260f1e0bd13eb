//! `portmortem matrix`: lists, shows and checks port matrices.

use std::io::{self, Write};

use anyhow::{Result, bail};

use crate::cli::arguments::MatrixCommand;
use crate::cli::text_file;
use crate::matrix::Matrix;

pub(super) fn run(command: &MatrixCommand) -> Result<()> {
    let mut out = io::stdout().lock();
    match command {
        MatrixCommand::List => {
            let width = Matrix::built_in_names().map(str::len).max().unwrap_or_default();
            for name in Matrix::built_in_names() {
                let matrix = built_in(name)?;
                let rows = matrix.requirements.len();
                writeln!(out, "{name:<width$}  {}, {rows} rows", matrix.title)?;
            }
        }
        MatrixCommand::Show { matrix } => match Matrix::built_in_text(matrix) {
            Some(text) => out.write_all(text.as_bytes())?,
            None => out.write_all(named(matrix)?.to_toml().as_bytes())?,
        },
        MatrixCommand::Check { file } => {
            let matrix = read(file)?;
            writeln!(
                out,
                "{file}: {} rows between {} roles, no mistakes",
                matrix.requirements.len(),
                matrix.roles.len()
            )?;
        }
    }
    Ok(())
}

/// A matrix file, or a word that is none of the profiles.
fn named(name: &str) -> Result<Matrix> {
    if std::path::Path::new(name).exists() {
        return read(name);
    }
    built_in(name)
}

/// Reads a matrix file.
pub(super) fn read(path: &str) -> Result<Matrix> {
    let text = text_file::read(path, "matrix file")?;
    Ok(Matrix::parse(&text, path)?)
}

/// A built-in profile.
pub(super) fn built_in(name: &str) -> Result<Matrix> {
    let Some(matrix) = Matrix::built_in(name) else {
        let known: Vec<&str> = Matrix::built_in_names().collect();
        bail!(
            "\"{name}\" is no built-in matrix and no file; the built-in ones are: {}",
            known.join(", ")
        );
    };
    Ok(matrix)
}
