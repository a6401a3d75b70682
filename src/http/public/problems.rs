//! `GET /problems/{code}`: the page that the `type` of a problem document points to.

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};

use crate::http::{
    problem::{self, Problem},
    state::AppState,
};

/// One problem explained: what it means and how to mend it.
///
/// # Errors
/// [`Problem::NotFound`] for a code that no problem has.
pub async fn page(code: Path<String>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let row = problem::TABLE.iter().find(|row| row.code == *code).ok_or(Problem::NotFound)?;
    state.pages.explanation(row)
}
