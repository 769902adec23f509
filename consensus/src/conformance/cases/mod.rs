//! The cases. Each is a plain function that returns when the protocol does as the contract says,
//! and panics with the last events when it does not.

mod catch_up;
mod chaos;
mod disks;
mod durability;
mod elections;
mod hostile;
mod leftovers;
mod limits;
mod partitions;
mod reads;
mod repair;
mod replication;
mod restarts;
mod votes;

pub use catch_up::*;
pub use chaos::*;
pub use disks::*;
pub use durability::*;
pub use elections::*;
pub use hostile::*;
pub use leftovers::*;
pub use limits::*;
pub use partitions::*;
pub use reads::*;
pub use repair::*;
pub use replication::*;
pub use restarts::*;
pub use votes::*;

use super::cluster::clients::LIMIT;
use super::cluster::{Cluster, Configure};
use super::ledger::Answer;
use crate::{Consensus, Micros};

/// Runs `case` for clusters of each of `sizes`, under several seeds.
fn each_size<C: Consensus>(
    configure: Configure<'_, C>,
    sizes: &[u64],
    case: impl Fn(&mut Cluster<'_, C>),
) {
    for size in sizes {
        for seed in 0..4 {
            case(&mut Cluster::new(configure, *size, seed));
        }
    }
}

const fn seconds(seconds: u64) -> Micros {
    Micros::from_millis(seconds * 1_000)
}

const fn millis(millis: u64) -> Micros {
    Micros::from_millis(millis)
}
