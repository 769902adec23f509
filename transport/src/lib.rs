#![doc = include_str!("../README.md")]

mod api;
mod backoff;
mod config;
mod frame;
mod handshake;
mod identity;
mod links;
mod refusal;
mod rejection;

pub mod memory;

pub mod tcp;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

pub use api::{Channel, Event, SendError, Stats, Transport};
pub use backoff::Backoff;
pub use config::{Check, Config};
pub use identity::{ClusterId, DiskId, Identity, NodeId};
pub use refusal::Refusal;
