//! `GET /problems/{code}`: the page that the `type` of a problem document points to.

use actix_web::{HttpResponse, web::Path};

use crate::http::problem::{self, Problem};

/// One problem explained: what it means and how to mend it.
///
/// # Errors
/// [`Problem::NotFound`] for a code that no problem has.
pub async fn page(code: Path<String>) -> Result<HttpResponse, Problem> {
    let row = problem::TABLE.iter().find(|row| row.code == *code).ok_or(Problem::NotFound)?;
    // Every text comes from the table, so nothing needs escaping.
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<p>Problem <code>{code}</code>, status {status}.</p>\n<p>{remedy}</p>\n</html>\n",
        title = row.title,
        code = row.code,
        status = row.status,
        remedy = row.remedy,
    );
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page))
}
