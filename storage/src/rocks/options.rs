//! What all engines of a node share, and how RocksDB is set up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocksdb::{
    BlockBasedOptions, BlockBasedTablePinningTier, Cache, DBCompressionType, Env, Options,
};

use crate::engine::EngineError;

/// The share of the memory that writes may take before they are in tables. Half is for blocks; the
/// rest goes to what allocators keep and compaction takes.
const BUFFERS_DIVISOR: usize = 3;
/// How many buffers an engine has at a time: one is written to, one is given back to the allocator,
/// the others become tables. Many small ones, so that waiting for one is short.
pub(super) const BUFFERS: usize = 6;
/// How many young tables are compacted at once. With four, as RocksDB would have it, what lies below
/// them is written again for every few megabytes: a million random SETs of 1 KiB then write 6.5
/// instead of 5.1 GB per node and take a fifth longer. Gets do not notice.
const YOUNG_TABLES: i32 = 16;
/// RocksDB's own memtables stay empty.
const MEMTABLE_BYTES: usize = 64 << 10;

/// Memory and threads, shared by the engines of a node. Cloning shares them once more.
#[derive(Clone)]
pub struct RocksResources {
    cache: Cache,
    env: Env,
    memory_bytes: usize,
    engines: Arc<AtomicUsize>,
}

/// One engine's part of the resources, for as long as it is kept.
pub(super) struct Share {
    engines: Arc<AtomicUsize>,
}

impl RocksResources {
    /// `memory_bytes` for everything that grows with the data: blocks, indexes, filters and
    /// what is not in tables yet, of all engines together. One thread, of the lowest priority,
    /// compacts; each engine has one of its own that writes tables.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(memory_bytes: usize) -> Result<Self, EngineError> {
        let failed = |error| EngineError::new("start its threads", error);
        let mut env = Env::new().map_err(failed)?;
        env.set_low_priority_background_threads(1);
        env.set_high_priority_background_threads(1);
        env.lower_thread_pool_cpu_priority();
        env.lower_thread_pool_io_priority();
        Ok(RocksResources {
            cache: Cache::new_hyper_clock_cache(memory_bytes / 2, 0),
            env,
            memory_bytes,
            engines: Arc::default(),
        })
    }

    /// How many bytes blocks, indexes and filters take.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    /// Counts one more engine.
    pub(super) fn share(&self) -> Share {
        self.engines.fetch_add(1, Ordering::Relaxed);
        Share {
            engines: Arc::clone(&self.engines),
        }
    }

    /// How large one buffer of one engine may become.
    pub(super) fn buffer_bytes(&self) -> usize {
        let engines = self.engines.load(Ordering::Relaxed).max(1);
        self.memory_bytes / BUFFERS_DIVISOR / BUFFERS / engines
    }

    /// The options every database is opened with.
    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_env(&self.env);
        options.set_block_based_table_factory(&self.tables());
        options.set_write_buffer_size(MEMTABLE_BYTES);
        options.set_max_background_jobs(2);
        // Whatever waits for compaction makes the tables' thread wait, and with it, in the end, the
        // event loop. A checkpoint waits as a write does. Many young tables only make gets slower.
        options.set_level_zero_file_num_compaction_trigger(YOUNG_TABLES);
        options.set_level_zero_slowdown_writes_trigger(i32::MAX);
        options.set_level_zero_stop_writes_trigger(i32::MAX);
        options.set_soft_pending_compaction_bytes_limit(0);
        options.set_hard_pending_compaction_bytes_limit(0);
        // What is young is compacted soon: compressing it costs more than it saves.
        let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
        options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
        // Of every table that takes part, and all of the youngest do.
        options.set_compaction_readahead_size(256 << 10);
        // In small steps, because the log syncs to the same disk.
        options.set_bytes_per_sync(1 << 20);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        // Every view copies it, and it grows with every table until it is written anew.
        options.set_max_manifest_file_size(1 << 20);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 << 20);
        options
    }

    /// The options for a table that holds what was written last.
    pub(super) fn young_table_options(&self) -> Options {
        let mut options = self.options();
        options.set_compression_per_level(&[]);
        options.set_compression_type(DBCompressionType::None);
        options
    }

    /// Point lookups first. Indexes and filters, about a hundredth of the data, are charged to the
    /// cache and pinned there: looking them up for every get costs more than it saves. Partitioned
    /// ones cost a sixth more per get.
    fn tables(&self) -> BlockBasedOptions {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&self.cache);
        tables.set_block_size(4 << 10);
        tables.set_format_version(5);
        tables.set_bloom_filter(10.0, false);
        tables.set_optimize_filters_for_memory(true);
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_cache_index_and_filter_blocks_with_high_priority(true);
        tables.set_unpartitioned_pinning_tier(BlockBasedTablePinningTier::All);
        tables
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.engines.fetch_sub(1, Ordering::Relaxed);
    }
}
