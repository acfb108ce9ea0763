//! Whether the sandbox worker starts and answers.

use std::time::Duration;

use super::Part;
use crate::error::Error;
use crate::handlers::App;
use crate::nodes::ports::RenderJob;

/// How long the worker may take to start and answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Lets a worker process do a little work: templates always go to one.
pub(super) async fn check(app: &App) -> Part {
    let mut part = Part::default();
    let job = RenderJob {
        template: "{{ 6 * 7 }}".into(),
        names: serde_json::Map::new(),
        variables: serde_json::Map::new(),
        timeout: ANSWER_TIME,
    };
    match app.ports.code.render(job).await {
        Ok(text) if text == "42" => part.fact("worker", "works"),
        Ok(text) => part.failure(&Error::internal(format!("the sandbox worker says that 6 * 7 is `{text}`"))),
        Err(error) => part.failure(&error),
    }
    part
}
