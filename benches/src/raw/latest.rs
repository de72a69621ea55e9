//! The latest value of each key in RocksDB, and nothing before it: what reduce-large-state takes of a store on disk.

use std::collections::HashMap;

use anyhow::Result;
use millstream::config::MemoryLimits;
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteBufferManager, WriteOptions};
use rustc_hash::FxBuildHasher;

use crate::order::Order;

/// A database, and what the transaction has changed so far.
pub(super) struct Latest {
    db: DB,
    changed: HashMap<Box<[u8]>, Box<[u8]>, FxBuildHasher>,
}

impl Latest {
    pub(super) fn open(order: &Order) -> Result<Self> {
        let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
        // As much memory as Millstream has for blocks and write buffers, and for the rows that are not here.
        let memory = MemoryLimits::default();
        let cache = Cache::new_lru_cache(memory.block_cache + memory.rows);
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&cache);
        tables.set_bloom_filter(10.0, false);
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(memory.write_buffers, false, cache);
        options.set_write_buffer_manager(&buffers);
        options.set_write_buffer_size(memory.write_buffers);
        options.set_block_based_table_factory(&tables);
        options.set_compression_per_level(&[none, none, lz4]);
        options.set_level_zero_file_num_compaction_trigger(8);
        Ok(Self { db: DB::open(&options, order.state_dir.join("raw"))?, changed: HashMap::default() })
    }

    /// Looks up the value before, which a reducer needs, and notes the new one with its timestamp.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8], timestamp: i64) -> Result<()> {
        let row = [&timestamp.to_be_bytes(), value].concat().into();
        match self.changed.get_mut(key) {
            Some(before) => *before = row,
            None => {
                std::hint::black_box(self.db.get_pinned(key)?);
                self.changed.insert(key.into(), row);
            }
        }
        Ok(())
    }

    /// Writes what has changed, in order, which RocksDB takes best.
    pub(super) fn write(&mut self) -> Result<()> {
        let mut changed: Vec<_> = self.changed.drain().collect();
        changed.sort_unstable();
        let mut batch = WriteBatch::default();
        changed.iter().for_each(|(key, row)| batch.put(key, row));
        // What a crash loses is in the changelog.
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        Ok(self.db.write_opt(batch, &options)?)
    }
}
