//! Takes rows apart into the columns of a Parquet table.
//!
//! Parquet stores each leaf of a nested row as a column of its own, and beside each value how much
//! of its path is there (definition level) and whether it goes on a list or begins one (repetition
//! level), after "Dremel: Interactive Analysis of Web-Scale Datasets" (Melnik et al., 2010). A row
//! is told leaf by leaf, in the order of the schema; lists and optional groups stand at the top of
//! the schema and do not nest. Rows are kept until there are enough for a row group, so that a table
//! of any length needs memory for one.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnDescriptor;

/// Rows of a row group. Readers take row groups in parallel, and one must fit into memory.
const MOST_ROWS: usize = 1 << 16;
/// Bytes of text of a row group, after which it ends earlier.
const MOST_TEXT: usize = 64 << 20;

/// A table in the making.
pub(super) struct Table<'a> {
    out: &'a mut dyn Write,
    file: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Column>,
    /// The column that the next value belongs to.
    at: usize,
    /// How much of the path above the next value is there.
    definition: i16,
    /// 1 where the next value goes on a list.
    repetition: i16,
    rows: usize,
    text: usize,
}

/// A leaf of the rows that are kept.
struct Column {
    /// First name of its path.
    top: String,
    /// The definition level of a value that is there.
    deepest: i16,
    repeated: bool,
    values: Values,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

enum Values {
    Flags(Vec<bool>),
    Shorts(Vec<i32>),
    Longs(Vec<i64>),
    /// All text, and where each piece ends.
    Texts(Vec<u8>, Vec<usize>),
}

impl<'a> Table<'a> {
    /// Begins a table with this schema, and `facts` about it in the file's metadata.
    pub(super) fn new(
        out: &'a mut dyn Write,
        schema: &str,
        facts: &[(&str, &str)],
    ) -> io::Result<Table<'a>> {
        let schema = Arc::new(parse_message_type(schema).map_err(io::Error::other)?);
        let facts =
            facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("portmortem version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(facts.collect()))
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties));
        let file = file.map_err(io::Error::other)?;
        let columns = file.schema_descr().columns().iter().map(|it| Column::of(it)).collect();
        let (at, definition, repetition, rows, text) = (0, 0, 0, 0, 0);
        Ok(Table { out, file, columns, at, definition, repetition, rows, text })
    }

    /// A value that is true or false.
    pub(super) fn flag(&mut self, flag: bool) -> io::Result<()> {
        self.value(|values| {
            let Values::Flags(flags) = values else { return false };
            flags.push(flag);
            true
        })
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl TryInto<i64>) -> io::Result<()> {
        // Columns are signed, because Spark and others have no unsigned numbers. What does not fit
        // is no count of anything that happened.
        let number = number.try_into().unwrap_or(i64::MAX);
        self.value(|values| {
            match values {
                Values::Shorts(shorts) => shorts.push(i32::try_from(number).unwrap_or(i32::MAX)),
                Values::Longs(longs) => longs.push(number),
                Values::Flags(_) | Values::Texts(..) => return false,
            }
            true
        })
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.text += text.len();
        self.value(|values| {
            let Values::Texts(all, ends) = values else { return false };
            all.extend_from_slice(text.as_bytes());
            ends.push(all.len());
            true
        })
    }

    /// A number, or nothing.
    pub(super) fn optional_number(&mut self, number: Option<impl TryInto<i64>>) -> io::Result<()> {
        match number {
            Some(number) => self.number(number),
            None => self.nothing(),
        }
    }

    /// Text, or nothing.
    pub(super) fn optional_text(&mut self, text: Option<&str>) -> io::Result<()> {
        match text {
            Some(text) => self.text(text),
            None => self.nothing(),
        }
    }

    /// A group of columns that is there as a whole or not at all.
    pub(super) fn group<T>(
        &mut self,
        name: &str,
        group: Option<&T>,
        tell: impl FnOnce(&mut Self, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = self.end_of(name);
        match group {
            Some(group) => {
                self.definition = 1;
                tell(self, group)?;
                self.definition = 0;
            }
            None => self.nothing_until(end)?,
        }
        self.arrived_at(end)
    }

    /// A list, perhaps empty.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut tell: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        let (start, end) = (self.at, self.end_of(name));
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            self.nothing_until(end)?;
        }
        for item in items {
            self.at = start;
            self.definition = 1;
            tell(self, item)?;
            self.repetition = 1;
        }
        (self.definition, self.repetition) = (0, 0);
        self.arrived_at(end)
    }

    /// Ends a row.
    pub(super) fn end_row(&mut self) -> io::Result<()> {
        self.arrived_at(self.columns.len())?;
        self.at = 0;
        self.rows += 1;
        if self.rows >= MOST_ROWS || self.text >= MOST_TEXT {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Ends the table.
    pub(super) fn end(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.end_row_group()?;
        }
        self.out.write_all(&self.file.into_inner().map_err(io::Error::other)?)
    }

    fn end_row_group(&mut self) -> io::Result<()> {
        let mut group = self.file.next_row_group().map_err(io::Error::other)?;
        let mut columns = self.columns.iter_mut();
        while let Some(mut writer) = group.next_column().map_err(io::Error::other)? {
            let Some(column) = columns.next() else { return Err(misfit()) };
            column.write(writer.untyped())?;
            writer.close().map_err(io::Error::other)?;
        }
        group.close().map_err(io::Error::other)?;
        (self.rows, self.text) = (0, 0);
        // The footer that ends the file needs none of these bytes again.
        self.file.flush()?;
        self.out.write_all(self.file.inner())?;
        self.file.inner_mut().clear();
        Ok(())
    }

    /// Adds a value to the column that comes next; `push` is false where it does not fit.
    fn value(&mut self, push: impl FnOnce(&mut Values) -> bool) -> io::Result<()> {
        let Some(column) = self.columns.get_mut(self.at) else { return Err(misfit()) };
        if !push(&mut column.values) {
            return Err(misfit());
        }
        column.level(column.deepest, self.repetition);
        self.at += 1;
        Ok(())
    }

    fn nothing(&mut self) -> io::Result<()> {
        let Some(column) = self.columns.get_mut(self.at) else { return Err(misfit()) };
        // A value that must be there would be missing in this column from here on.
        if column.deepest <= self.definition {
            return Err(misfit());
        }
        column.level(self.definition, self.repetition);
        self.at += 1;
        Ok(())
    }

    fn nothing_until(&mut self, end: usize) -> io::Result<()> {
        while self.at < end {
            self.nothing()?;
        }
        Ok(())
    }

    /// Where the columns below this name end that begin here.
    fn end_of(&self, name: &str) -> usize {
        let of_name = self.columns.iter().skip(self.at).take_while(|column| column.top == name);
        self.at + of_name.count()
    }

    fn arrived_at(&self, end: usize) -> io::Result<()> {
        if self.at == end { Ok(()) } else { Err(misfit()) }
    }
}

impl Column {
    fn of(leaf: &ColumnDescriptor) -> Column {
        use parquet::basic::Type;
        let values = match leaf.physical_type() {
            Type::BOOLEAN => Values::Flags(Vec::new()),
            Type::INT32 => Values::Shorts(Vec::new()),
            Type::INT64 => Values::Longs(Vec::new()),
            // The schemas here have no others.
            Type::INT96
            | Type::FLOAT
            | Type::DOUBLE
            | Type::BYTE_ARRAY
            | Type::FIXED_LEN_BYTE_ARRAY => Values::Texts(Vec::new(), Vec::new()),
        };
        Column {
            top: leaf.path().parts().first().cloned().unwrap_or_default(),
            deepest: leaf.max_def_level(),
            repeated: leaf.max_rep_level() > 0,
            values,
            definitions: Vec::new(),
            repetitions: Vec::new(),
        }
    }

    /// Remembers a value's levels, where they are not the same for all.
    fn level(&mut self, definition: i16, repetition: i16) {
        if self.deepest > 0 {
            self.definitions.push(definition);
        }
        if self.repeated {
            self.repetitions.push(repetition);
        }
    }

    /// Hands all to the encoder, and forgets it.
    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> io::Result<()> {
        let definitions = (self.deepest > 0).then_some(self.definitions.as_slice());
        let repetitions = self.repeated.then_some(self.repetitions.as_slice());
        match (&mut self.values, writer) {
            (Values::Flags(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(values, definitions, repetitions).map_err(io::Error::other)?;
                values.clear();
            }
            (Values::Shorts(values), ColumnWriter::Int32ColumnWriter(writer)) => {
                writer.write_batch(values, definitions, repetitions).map_err(io::Error::other)?;
                values.clear();
            }
            (Values::Longs(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(values, definitions, repetitions).map_err(io::Error::other)?;
                values.clear();
            }
            (Values::Texts(text, ends), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                // Pieces of one buffer, not copies.
                let text = ByteArray::from(std::mem::take(text));
                let mut start = 0;
                let pieces = ends.iter().map(|end| {
                    let piece = text.slice(start, end.saturating_sub(start));
                    start = *end;
                    piece
                });
                let pieces: Vec<ByteArray> = pieces.collect();
                writer.write_batch(&pieces, definitions, repetitions).map_err(io::Error::other)?;
                ends.clear();
            }
            _ => return Err(misfit()),
        }
        self.definitions.clear();
        self.repetitions.clear();
        Ok(())
    }
}

/// Rows are told in the order of the schema; the tests show that they are.
fn misfit() -> io::Error {
    io::Error::other("a row does not fit the schema of its Parquet table: please report this")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    const SCHEMA: &str = "
        message row {
            required int64 id;
            optional group place { required binary name (STRING); optional int32 floor; }
            required group words (LIST) {
                repeated group list { required binary element (STRING); }
            }
            required boolean last;
        }";

    fn read(rows: impl Fn(&mut Table<'_>) -> io::Result<()>) -> SerializedFileReader<File> {
        let mut bytes = Vec::new();
        let mut table = Table::new(&mut bytes, SCHEMA, &[("about", "a test")]).unwrap();
        rows(&mut table).unwrap();
        table.end().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    fn row(
        table: &mut Table<'_>,
        id: u64,
        place: Option<&(&str, Option<u16>)>,
        words: &[&str],
    ) -> io::Result<()> {
        table.number(i64::try_from(id).unwrap())?;
        table.group("place", place, |table, (name, floor)| {
            table.text(name)?;
            table.optional_number(*floor)
        })?;
        table.list("words", words, |table, word| table.text(word))?;
        table.flag(id == 3)?;
        table.end_row()
    }

    #[test]
    fn groups_and_lists_that_are_not_there_stay_apart_from_empty_ones() {
        let reader = read(|table| {
            row(table, 1, None, &[])?;
            row(table, 2, Some(&("", None)), &["a", "", "c"])?;
            row(table, 3, Some(&("attic", Some(7))), &["d"])
        });
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string());
        assert_eq!(
            rows.collect::<Vec<String>>(),
            [
                "{id: 1, place: null, words: [], last: false}",
                "{id: 2, place: {name: \"\", floor: null}, words: [\"a\", \"\", \"c\"], last: false}",
                "{id: 3, place: {name: \"attic\", floor: 7}, words: [\"d\"], last: true}",
            ]
        );
        let facts = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(
            facts.iter().any(|fact| fact.key == "about" && fact.value.as_deref() == Some("a test"))
        );
    }

    #[test]
    fn long_text_ends_a_row_group_early() {
        let word = "w".repeat(MOST_TEXT / 4);
        let reader = read(|table| (0..9).try_for_each(|id| row(table, id, None, &[&word])));
        let groups: Vec<i64> =
            reader.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
        assert_eq!(groups, [4, 4, 1]);
    }

    #[test]
    fn a_row_out_of_the_order_of_the_schema_is_refused() {
        let mut bytes = Vec::new();
        let mut table = Table::new(&mut bytes, SCHEMA, &[]).unwrap();
        assert!(table.text("id").is_err());
        assert!(table.optional_number(None::<i64>).is_err());
        table.number(1).unwrap();
        assert!(table.end_row().is_err());
    }
}
