//! What every request passes through, from the outside in.

pub mod cookie_bridge;
pub mod limits;
pub mod request;
pub mod security_headers;
