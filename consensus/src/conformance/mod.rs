//! The conformance kit: what every protocol must pass, whoever wrote it.
//!
//! ```text
//! // tests/conformance.rs of the protocol's crate
//! consensus::conformance_suite!(MyProtocol, |node: consensus::NodeId| my_config(node));
//! ```
//!
//! makes one `#[test]` of each function in [`cases`]. A case drives a [`Cluster`] of the protocol:
//! real nodes, and a network, disks and clocks that it can break. There is no runtime, no thread
//! and no time but the cluster's own, so a run follows from its seed to the letter.
//!
//! # What is judged
//!
//! The kit looks from outside. It does not know terms or ballots, leaders' logs or holes; a
//! protocol that leaves slots open and fills them later passes as well as one that never does.
//! After every event the cluster checks what must hold whatever the case is about:
//!
//! * commits come in order, without holes, above what was applied, and stand in the node's log;
//! * at the moment of a commit, and ever after, the entry is durable on a majority;
//! * all nodes agree on what is committed, across every crash;
//! * an epoch has one leader, in one of its lives, and a position names one entry for ever;
//! * a batch is committed where it was accepted, once, and never after it was refused;
//! * every request is answered once, and a read names an index that covers all that was committed
//!   anywhere when it was issued;
//! * writes are numbered without gaps, and purge nothing that the state machine has not got;
//! * snapshots are installed above what is committed, and nothing is committed meanwhile.
//!
//! So "acknowledge before it is durable" needs no look at an acknowledgement: somebody commits
//! what is not on a majority of disks, or a crash of everybody loses it.
//!
//! # What the kit expects of a configuration
//!
//! * A majority decides; flexible quorums are to be set to majorities.
//! * Elections take well under ten seconds, at latencies of about a millisecond. A disk that has
//!   been slow for 100 ms does not count as hung yet; after ten seconds it does.
//! * At most 16 MiB and 2,000 messages are under way to one peer; a batch above such a limit still
//!   travels, alone. At most 256 MiB are taken in uncommitted.
//! * Heartbeats take at most 200 messages per second and link.
//!
//! # When a case fails
//!
//! It panics with a sentence, the last events as decoded lines, and its seed. Any case can be
//! called as a function, under a debugger or from a loop; [`all`] lists them. The random ones
//! take `CONFORMANCE_SEED=17` to run one seed and `CONFORMANCE_SEEDS=5000` to run many.

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
