//! Filling an empty database: its tables are written beside it and taken over together.

use std::path::Path;

use rocksdb::{DB, SstFileWriter};

use super::tables::take_over;
use super::{RocksResources, failed};
use crate::engine::EngineError;
use crate::frozen::Rows;

/// How large a table becomes.
const TABLE_BYTES: u64 = 64 << 20;
/// How many rows are read at a time.
const READ_BYTES: usize = 4 << 20;

/// Loads rows by way of tables in `directory`; they are durable when this returns.
pub(super) fn load(
    db: &DB,
    resources: &RocksResources,
    directory: &Path,
    rows: &mut dyn Rows,
) -> Result<(), EngineError> {
    let options = resources.options();
    let mut tables = Vec::new();
    let mut more = true;
    while more {
        let path = directory.join(format!("loaded-{}.sst", tables.len()));
        let mut table = SstFileWriter::create(&options);
        table.open(&path).map_err(failed("write a table"))?;
        let mut count = 0_u64;
        while more && table.file_size() < TABLE_BYTES {
            let mut written = Ok(());
            more = rows.read(READ_BYTES, &mut |key, value| {
                count += 1;
                if written.is_ok() {
                    written = table.put(key, value);
                }
            })?;
            written.map_err(failed("write a table"))?;
        }
        // A table without rows is none.
        if count > 0 {
            table.finish().map_err(failed("write a table"))?;
            tables.push(path);
        }
    }
    if tables.is_empty() {
        return Ok(());
    }
    take_over(db, tables).map_err(failed("take over the tables"))
}
