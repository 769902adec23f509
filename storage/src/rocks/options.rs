//! What all engines of a node share, and how RocksDB is set up.

use rocksdb::{
    BlockBasedOptions, BlockBasedTablePinningTier, Cache, DBCompressionType, Env, Options,
    WriteBufferManager,
};

use crate::engine::EngineError;

/// The share of the memory that memtables may take: the rest is for blocks.
const BUFFERS_DIVISOR: usize = 4;
/// How large one memtable becomes at most.
const BUFFER_MAX: usize = 32 << 20;
const BUFFER_MIN: usize = 1 << 20;

/// Memory and threads, shared by the engines of a node. Cloning shares them once more.
#[derive(Clone)]
pub struct RocksResources {
    cache: Cache,
    buffers: WriteBufferManager,
    env: Env,
    memory_bytes: usize,
}

impl RocksResources {
    /// `memory_bytes` for everything that grows with the data: blocks, indexes, filters and
    /// memtables of all engines together. Two threads: one flushes, and one, of the lowest
    /// priority, compacts.
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
        // Flushing keeps its priority: a writer that fills memtables faster than they are flushed is
        // made to wait, and the writer is the event loop.
        let cache = Cache::new_hyper_clock_cache(memory_bytes, 0);
        let share = memory_bytes / BUFFERS_DIVISOR;
        // Memtables are charged to the cache, so that one bound holds for both.
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(share, false, cache.clone());
        Ok(RocksResources {
            cache,
            buffers,
            env,
            memory_bytes,
        })
    }

    /// How many bytes of the memory are in use.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    /// The options every database is opened with.
    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_env(&self.env);
        options.set_block_based_table_factory(&self.tables());
        options.set_write_buffer_manager(&self.buffers);
        let buffer = self.memory_bytes / BUFFERS_DIVISOR / 4;
        options.set_write_buffer_size(buffer.clamp(BUFFER_MIN, BUFFER_MAX));
        options.set_max_write_buffer_number(6);
        options.set_max_background_jobs(2);
        // A get that finds nothing in a memtable need not search it: a fifth of its cost.
        options.set_memtable_prefix_bloom_ratio(0.05);
        options.set_memtable_whole_key_filtering(true);
        // A single thread writes.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        // What has just been flushed is compacted soon: compressing it costs more than it saves.
        let (none, lz4) = (DBCompressionType::None, DBCompressionType::Lz4);
        options.set_compression_per_level(&[none, none, lz4, lz4, lz4, lz4, lz4]);
        // A stalled write stalls the event loop: compaction may fall far behind before that.
        options.set_level_zero_slowdown_writes_trigger(48);
        options.set_level_zero_stop_writes_trigger(96);
        options.set_soft_pending_compaction_bytes_limit(256 << 30);
        options.set_hard_pending_compaction_bytes_limit(512 << 30);
        // In small steps, because the log syncs to the same disk.
        options.set_bytes_per_sync(1 << 20);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 << 20);
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
