//! What a handler may demand in its signature: proof of a client's scope, and bodies that were read whole and in time.

mod body;
pub mod fields;
pub mod form_body;
pub mod granted;
pub mod granted_json;
pub mod json_body;
pub mod query;
