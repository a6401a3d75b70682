//! The filter of sessions in a query and in a body: the same members by the same names.

use serde_json::Value;

use crate::{
    domain::session_filter::{FilterMember, InvalidMember, SessionFilter},
    http::{
        extract::{
            fields::{Fields, invalid},
            query::Query,
        },
        problem::Problem,
    },
};

/// The filter that a query asks for.
///
/// # Errors
/// [`Problem::InvalidField`] names the first member that is wrong.
pub(super) fn of_query(query: &mut Query) -> Result<SessionFilter, Problem> {
    let mut filter = SessionFilter::default();
    for member in FilterMember::ALL {
        if let Some(text) = query.take(member.as_str()) {
            filter.narrow(member, &text).map_err(refused)?;
        }
    }
    Ok(filter)
}

/// The filter that a body asks for. Instants may be numbers there.
///
/// # Errors
/// [`Problem::InvalidField`] names the first member that is wrong.
pub(super) fn of_fields(fields: &mut Fields) -> Result<SessionFilter, Problem> {
    let mut filter = SessionFilter::default();
    for member in FilterMember::ALL {
        let text = match fields.optional(member.as_str()) {
            None => continue,
            Some(Value::String(text)) => text,
            Some(Value::Number(seconds)) if member.takes_instant() => seconds.to_string(),
            Some(_) => return Err(refused(InvalidMember { member })),
        };
        filter.narrow(member, &text).map_err(refused)?;
    }
    Ok(filter)
}

fn refused(error: InvalidMember) -> Problem {
    invalid(error.member.as_str(), error.member.allowed())
}
