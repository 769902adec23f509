//! RESP2 and RESP3 (README follows).

mod decoder;
mod double;
mod downgrade;
pub mod encode;
mod error;
mod inline;
mod limits;
mod number;
mod reply;
mod request;
mod value;

pub use decoder::RequestDecoder;
pub use downgrade::{downgrade, upgrade};
pub use error::ProtocolError;
pub use limits::Limits;
pub use reply::reply_len;
pub use request::{Request, is_http};
pub use value::{MAX_DEPTH, Value, decode_value};
