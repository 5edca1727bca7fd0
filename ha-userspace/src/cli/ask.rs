//! Asking the daemon for what is not its status; failures are told in the form that was asked for.

use std::path::Path;
use std::process::ExitCode;

use super::json::Form;
use crate::control::client;
use crate::control::protocol::{Failure, Request, Response};

/// Sends a request; tells the user what went wrong.
pub(super) fn ask(run_dir: &Path, request: Request, form: Form) -> Result<Response, ExitCode> {
    client::request(run_dir, request).map_err(|error| form.fail(error.code(), &error.to_string(), 1))
}

/// The daemon refused, or answered something else than was asked.
pub(super) fn unexpected(response: Response, form: Form) -> ExitCode {
    match response {
        Response::Error(failure) => form.tell(Failure { code: "refused".to_owned(), ..failure }),
        _ => {
            let text = "the daemon answered another question; are both of one version?";
            return form.fail("no_answer", text, 1);
        }
    }
    ExitCode::FAILURE
}
