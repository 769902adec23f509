#![doc = include_str!("../README.md")]

mod decode_value;
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

pub use decode_value::{MAX_DEPTH, decode_value};
pub use decoder::RequestDecoder;
pub use downgrade::{downgrade, upgrade};
pub use error::ProtocolError;
pub use limits::Limits;
pub use reply::reply_len;
pub use request::{Request, is_http};
pub use value::Value;
