use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use paywright_domain::{JobId, ports::QueueName};
use paywright_postgres::{JobFilter, JobKind, JobState, Retried};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{inbox::wait, orders::Answered, products::page};
use crate::{
    http::{
        auth,
        body::{self, Body, Empty},
        idempotent::{self, Answer},
        openapi::words,
        present::{JobJson, List},
        problem::Problem,
    },
    wiring::App,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// How many.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The id of the last one of the page before.
    #[param(value_type = words::JobId, required = false)]
    starting_after: Option<String>,
    #[param(value_type = words::Queue, required = false)]
    queue: Option<String>,
    #[param(value_type = words::JobKind, required = false)]
    kind: Option<String>,
    #[param(value_type = words::JobState, required = false)]
    state: Option<String>,
}

/// Lists jobs, newest first
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "inbox",
    params(Filter),
    security(("api_key" = ["inbox:read"])),
    responses((status = 200, description = "A page", body = List<JobJson>)),
)]
pub(super) async fn list(app: web::Data<App>, request: HttpRequest) -> Answered {
    auth::caller(&app, &request, "inbox:read").await?;
    let filter: Filter = body::query(&request)?;
    let page = page::<JobId>(filter.limit.as_deref(), filter.starting_after.as_deref(), "job")?;
    let queue =
        |text: String| text.parse::<QueueName>().map_err(|_| Problem::invalid("queue", "is no queue"));
    let kind =
        |text: String| text.parse::<JobKind>().map_err(|_| Problem::invalid("kind", "is no kind of job"));
    let state = |text: String| {
        let wrong = || Problem::invalid("state", "must be ready, running, dead or done");
        text.parse::<JobState>().map_err(|_| wrong())
    };
    let filter = JobFilter {
        queue: filter.queue.map(queue).transpose()?,
        kind: filter.kind.map(kind).transpose()?,
        state: filter.state.map(state).transpose()?,
    };
    let listed = app.operations.jobs(filter, page).await?;
    let data = listed.rows.iter().map(JobJson::from).collect();
    Ok(HttpResponse::Ok().json(List::new(data, listed.has_more)))
}

/// Shows a job
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "show_job",
    tag = "inbox",
    params(("id" = words::JobId, Path, description = "The job")),
    security(("api_key" = ["inbox:read"])),
    responses((status = 200, description = "The job", body = JobJson)),
)]
pub(super) async fn show(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "inbox:read").await?;
    let job = app.operations.job(body::id(&path, "job")?).await?.ok_or_else(|| Problem::not_found("job"))?;
    Ok(HttpResponse::Ok().json(JobJson::from(&job)))
}

/// Tries a job again
///
/// One that was given up, or that waits. It is the same job: a call goes out under the same idempotency key.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/retry",
    operation_id = "retry_job",
    tag = "inbox",
    params(("id" = words::JobId, Path, description = "The job")),
    request_body(content = Option<Empty>),
    security(("api_key" = ["inbox:write"])),
    extensions(("x-problems" = json!(["job_running", "job_done", "job_replaced"]))),
    responses((status = 200, description = "It is due now", body = JobJson)),
)]
pub(super) async fn retry(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
    bytes: Body,
) -> Answered {
    let caller = auth::caller(&app, &request, "inbox:write").await?;
    let id: JobId = body::id(&path, "job")?;
    let Empty {} = body::json(&request, &bytes)?;
    let (work_app, by) = (app.clone(), caller.actor());
    let work = move |_| async move {
        tracing::info!(job.id = %id, %by, "a job is tried again");
        match work_app.operations.retry_job(id).await? {
            Retried::Ready(job) => Ok(Answer::ok(JobJson::from(&*job))),
            Retried::Unknown => Err(Problem::not_found("job")),
            Retried::Running(until) => {
                let problem = Problem::new(StatusCode::CONFLICT, "job_running", "Somebody is at the job");
                Err(problem.retry_after(wait(Some(until), work_app.ports.clock.now())))
            }
            Retried::Done => Err(Problem::new(StatusCode::CONFLICT, "job_done", "The job is done")),
            Retried::Replaced => {
                Err(Problem::new(StatusCode::CONFLICT, "job_replaced", "A later job does the same"))
            }
        }
    };
    Ok(idempotent::once(&app, &caller, &request, &bytes, work).await?.respond())
}
