#![doc = include_str!("../README.md")]

pub mod clients;
pub mod command;
mod glob;
pub mod host;
pub mod key;
mod machine;
mod number;
pub mod overview;
mod refusal;
pub mod session;
pub mod settings;
pub mod table;
mod value;

pub use clients::{ClientInfo, KillFilter};
pub use host::{Access, Host, Leadership, Outcome, Slot, Wait};
pub use machine::{Keyspace, KeyspaceError, frozen_at};
pub use overview::{Counters, DatabaseStatistics, MemberInfo, Overview};
pub use session::{Session, SessionCounters};
pub use settings::{SettingError, Settings};
