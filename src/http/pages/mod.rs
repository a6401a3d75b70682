//! The pages that people meet: templates, what they are given, and the files that they link to. Routes live in `public`.
//!
//! Everything is read and tried out once, at start: a page that cannot be rendered stops the start and not a person.

mod assets;
mod failure;
mod logo;
mod palette;
mod templates;
pub mod views;
mod wanted;

use std::{fmt, io, path::PathBuf};

use actix_web::{HttpResponse, http::StatusCode};
use minijinja::{
    Environment,
    value::{Serde, Value},
};
use serde::Serialize;

pub use self::{assets::Asset, wanted::wants_page};
use self::{
    assets::Assets,
    views::{Account, Failure, Link, SignIn},
};
use crate::{
    config::{Origin, PagesConfig},
    http::problem::{Problem, ProblemDoc},
    telemetry::error_chain::ErrorChain,
};

/// Why the pages cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// A file or directory is not to be had.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too large.
    #[error("{} is larger than {most} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that it may have.
        most: u64,
    },
    /// The logo is no picture that we serve.
    #[error("{} is neither an SVG nor a PNG file", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
    /// A template cannot be used.
    #[error("{} line {line}: {reason}", path.display())]
    Template {
        /// The file; for a built-in template its name.
        path: PathBuf,
        /// The line, from 1; 0 where the fault has none.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A page lacks a part without which it does not work.
    #[error("{} leaves out {missing}", path.display())]
    Incomplete {
        /// The file; for a built-in template its name.
        path: PathBuf,
        /// What the page must hold.
        missing: &'static str,
    },
}

/// Marks a response whose body is a page already, whatever its status.
#[derive(Debug, Clone, Copy)]
pub struct Rendered;

/// All pages, ready to be filled in.
pub struct Pages {
    environment: Environment<'static>,
    assets: Assets,
}

/// What every template may know of the service, as `brand`.
#[derive(Debug, Serialize)]
struct Brand<'a> {
    name: &'a str,
    host: &'a str,
}

/// What a page without variables is given.
#[derive(Debug, Serialize)]
struct Nothing {}

impl Pages {
    /// Reads templates, stylesheet and logo, and tries every page out.
    ///
    /// # Errors
    /// [`PagesError`] names the file, and in a template the line.
    pub fn load(config: &PagesConfig, origin: &Origin) -> Result<Self, PagesError> {
        let assets = Assets::load(config)?;
        let (mut environment, files) = templates::load(config.templates.as_deref())?;
        let brand = Brand { name: &config.name, host: origin.as_str().split_once("://").map_or("", |(_, host)| host) };
        environment.add_global("brand", Value::from(Serde(brand)));
        environment.add_global("assets", Value::from(Serde(&assets.links)));
        let pages = Self { environment, assets };
        templates::try_out(&pages, &files)?;
        Ok(pages)
    }

    /// The file that pages link to by this name.
    #[must_use]
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.find(name)
    }

    /// The sign-in page.
    ///
    /// # Errors
    /// [`Problem::Internal`] when a template fails in a way that the trial at start did not meet.
    pub fn sign_in(&self, status: StatusCode, view: &SignIn<'_>) -> Result<HttpResponse, Problem> {
        self.answer(status, "sign_in.html", view)
    }

    /// The account page.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub fn account(&self, view: &Account<'_>) -> Result<HttpResponse, Problem> {
        self.answer(StatusCode::OK, "account.html", view)
    }

    /// The page after signing out.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub fn signed_out(&self) -> Result<HttpResponse, Problem> {
        self.answer(StatusCode::OK, "signed_out.html", Nothing {})
    }

    /// The page that explains one row of the table of problems.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub fn explanation(&self, row: &ProblemDoc) -> Result<HttpResponse, Problem> {
        self.answer(StatusCode::OK, "error.html", Failure::explained(row))
    }

    /// The page that tells a person of a problem; nothing where even that fails.
    #[must_use]
    pub fn problem(&self, problem: &Problem, request_id: &str, sign_in: &str) -> Option<String> {
        let words = failure::words(problem);
        let link = Link::of(problem, sign_in);
        let row = problem.row();
        let detail = failure::detail(problem);
        let view = Failure {
            status: row.status,
            code: row.code,
            title: words.title,
            text: words.text,
            detail: detail.as_deref(),
            link,
            request_id: Some(request_id),
        };
        self.render("error.html", view).ok()
    }

    fn answer(&self, status: StatusCode, template: &str, view: impl Serialize) -> Result<HttpResponse, Problem> {
        let page = self.render(template, view).map_err(|error| {
            tracing::error!(error = %ErrorChain(&error), "a page could not be rendered");
            Problem::Internal
        })?;
        let mut response = HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page);
        response.extensions_mut().insert(Rendered);
        Ok(response)
    }

    fn render(&self, template: &str, view: impl Serialize) -> Result<String, minijinja::Error> {
        self.environment.get_template(template)?.render(Value::from(Serde(view)))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pages")
    }
}
