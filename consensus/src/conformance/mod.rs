//! The conformance kit: what every protocol must pass, whoever wrote it.

pub mod cases;
mod cluster;
mod disk;
mod ledger;
mod network;
mod node;
mod random;
mod suite;
mod trace;

pub use cluster::clients::LIMIT;
pub use cluster::{Cluster, Configure};
pub use disk::{Disk, Log};
pub use ledger::Answer;
pub use network::{Network, Traffic};
pub use node::Node;
pub use random::Random;
pub use suite::{Case, all};
pub use trace::Trace;
