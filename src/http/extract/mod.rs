//! What a handler may demand in its signature: proof of a client's scope, and bodies that were read whole and in time.

pub mod fields;
pub mod granted;
pub mod granted_json;
pub mod json_body;
pub mod query;
