//! The replicated state machine and client sessions.

pub mod clients;
pub mod host;
pub mod overview;
pub mod session;
pub mod settings;

pub use host::{Access, Host, Leadership, Outcome, Slot, Wait};
pub use overview::Overview;
pub use session::Session;
pub use settings::{SettingError, Settings};
