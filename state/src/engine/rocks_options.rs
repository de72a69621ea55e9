//! How RocksDB is tuned: many small databases that share one bounded memory, updated often, read by key.

use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, LogLevel, LruCacheOptions, Options,
    WriteBufferManager, WriteOptions,
};

use super::rocks::Budget;

/// How many files of level 0 a family collects before it merges them. RocksDB's default is 4; twice as many halve the merges,
/// and filters tell which file a key may be in.
pub(super) const FILES: i32 = 8;

/// The same while a family is filled from its changelog. Every merge rewrites what is there; nobody reads meanwhile, so that few
/// large ones do.
pub(super) const FILES_WHILE_FILLED: i32 = 32;

/// The bounds of all databases of one instance together. Every field is a ceiling, in bytes unless it says otherwise.
#[derive(Clone, Debug)]
pub struct RocksSettings {
    /// Blocks, indexes and filters read from disk; write buffers count into it.
    pub block_cache: usize,
    /// Write buffers of all tasks together; at most `block_cache`.
    pub write_buffers: usize,
    /// One write buffer, per family.
    pub write_buffer: usize,
    /// The write-ahead log, per task: what is read again when a task is opened after a crash.
    pub wal: u64,
    /// Rows in memory before RocksDB: those it has not been given yet and those that were looked up lately.
    pub rows: usize,
    /// The journals of the rows that RocksDB has not been given yet, on disk.
    pub journals: u64,
    /// How many files each task keeps open.
    pub open_files: i32,
    /// Threads for flushes and compactions, for all tasks together.
    pub background_jobs: i32,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self {
            block_cache: 28 << 20,
            write_buffers: 24 << 20,
            write_buffer: 16 << 20,
            wal: 16 << 20,
            rows: 40 << 20,
            journals: 512 << 20,
            open_files: 256,
            background_jobs: 2,
        }
    }
}

/// What the databases of an instance share.
pub(super) struct Shared {
    pub(super) options: Options,
    /// For files of rows that are taken over.
    pub(super) filled: Options,
    pub(super) rows: Arc<Budget>,
    cache: Cache,
    buffers: WriteBufferManager,
}

impl Shared {
    pub(super) fn new(settings: &RocksSettings) -> Arc<Self> {
        let cache = cache(settings.block_cache);
        // A stall would block the worker for a flush of another task; the bound is kept by flushing early instead.
        let stall = false;
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(settings.write_buffers, stall, cache.clone());
        let mut options = replayed_into_memory();
        limits(&mut options, settings);
        options.set_write_buffer_manager(&buffers);
        options.set_block_based_table_factory(&tables(&cache));
        lookups(&mut options);
        quiet(&mut options);
        let mut filled = Options::default();
        filled.set_block_based_table_factory(&tables(&cache));
        filled.set_compression_type(DBCompressionType::None);
        Arc::new(Self {
            options,
            filled,
            rows: Budget::new(settings.rows, settings.write_buffers, settings.journals),
            cache,
            buffers,
        })
    }

    /// Bytes of blocks and write buffers in memory.
    pub(super) fn memory(&self) -> usize {
        self.cache.get_usage().max(self.buffers.get_usage())
    }
}

/// Opening a database after a crash reads the log back into write buffers and leaves them there, instead of writing them
/// out before it answers. Its log is kept until they are.
fn replayed_into_memory() -> Options {
    // RocksDB refuses only names that it does not know; the default is slower to open, nothing else.
    Options::default().get_options_from_string("avoid_flush_during_recovery=true").unwrap_or_default()
}

fn limits(options: &mut Options, settings: &RocksSettings) {
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_size(settings.write_buffer);
    options.set_max_write_buffer_number(3);
    // The default (an eighth of the write buffer) would charge megabytes for a family with one key.
    options.set_arena_block_size(64 << 10);
    options.set_max_total_wal_size(settings.wal);
    options.set_max_open_files(settings.open_files);
    options.set_max_background_jobs(settings.background_jobs);
    // What is young is soon merged and written again: compressing it is work done twice.
    let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
    options.set_compression_per_level(&[none, none, lz4]);
    options.set_level_zero_file_num_compaction_trigger(FILES);
    // A family that has been filled has more files than the defaults allow, and whoever writes to it next would wait for their
    // merge.
    options.set_level_zero_slowdown_writes_trigger(2 * FILES_WHILE_FILLED);
    options.set_level_zero_stop_writes_trigger(3 * FILES_WHILE_FILLED);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Segments are dropped whole, and their files with them.
    options.set_recycle_log_file_num(0);
}

/// Few shards: with the default of 64 the filter of one file fills a whole shard and nothing stays in it.
fn cache(bytes: usize) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes);
    options.set_num_shard_bits(2);
    Cache::new_lru_cache_opts(&options)
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(8 << 10);
    tables.set_bloom_filter(10.0, false);
    tables.set_optimize_filters_for_memory(true);
    // Indexes and filters count into the cache, or memory would grow with the number of files.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    // In parts of a few kilobytes: the filter of a large file would push everything else out of a small cache.
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables.set_metadata_block_size(4 << 10);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables.set_pin_top_level_index_and_filter(true);
    tables
}

fn lookups(options: &mut Options) {
    // New keys are looked up before they are written: the filter answers most of these without searching the memtable.
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
}

fn quiet(options: &mut Options) {
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(1);
    options.set_max_manifest_file_size(4 << 20);
}

/// Writes go to the log but are not synced: a killed process loses nothing, and what a lost machine loses is in the
/// changelog.
pub(super) fn write_options() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}
