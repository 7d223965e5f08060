//! `cove mcp`: one environment for a coding agent, by the Model Context Protocol on standard input and output.
//!
//! A client of the daemon like every other command: what it can do is what a person's commands can, without a person
//! who could consent. The environment is chosen at the start; no argument of a tool names one. Standard output belongs to
//! the protocol alone.

mod answer;
mod files;
mod looks;
mod process;
mod tools;
mod up;

use std::sync::Arc;

use api::{Environment, EnvironmentId, Problem, ProblemCode};
use client::Client;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};

use crate::arguments::OneEnvironment;
use crate::context::Context;
use crate::failure::Failure;
use crate::select;

use answer::Answer;
use tools::Call;

pub(super) async fn run(context: &Context, arguments: OneEnvironment) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = select::environment(&client, arguments.environment.as_deref()).await?;
    let context = Arc::new(Context { output: context.output, home: context.home.clone() });
    let server = Server { context, id: environment.id, name: environment.metadata.name.to_string() };
    let broken = |error: &dyn std::error::Error| {
        Problem::new(ProblemCode::Internal, "the Model Context Protocol broke off").caused_by(error)
    };
    let serving = async {
        let running = server.serve(rmcp::transport::stdio()).await.map_err(|error| broken(&error))?;
        running.waiting().await.map_err(|error| broken(&error))?;
        Ok(())
    };
    tokio::select! {
        ended = serving => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

/// Answers for one environment.
struct Server {
    context: Arc<Context>,
    id: EnvironmentId,
    /// Its name at the start, for texts.
    name: String,
}

/// One call of a tool: who makes it, and how it hears of its end.
struct Asked<'a> {
    server: &'a Server,
    /// Asks in the name of the agent's program: the daemon writes that to its log.
    client: Client,
    request: &'a RequestContext<RoleServer>,
}

impl Asked<'_> {
    fn id(&self) -> &str {
        self.server.id.as_str()
    }

    async fn environment(&self) -> Result<Environment, Failure> {
        Ok(self.client.environment(self.id()).await?)
    }

    /// Ends when the agent no longer waits for the answer.
    async fn cancelled(&self) {
        self.request.ct.cancelled().await;
    }
}

impl Server {
    async fn call(&self, call: Call, request: &RequestContext<RoleServer>) -> Result<Answer, Failure> {
        let client = self.context.client().await?.asking_for(&asker(request, call.name()));
        let asked = Asked { server: self, client, request };
        match call {
            Call::Environment => looks::environment(&asked).await,
            Call::Up => up::run(&asked).await,
            Call::Exec(wish) => process::exec(&asked, wish).await,
            Call::Read(wish) => files::read(&asked, wish).await,
            Call::List(wish) => files::list(&asked, wish).await,
            Call::Ports => looks::ports(&asked).await,
            Call::Logs(wish) => looks::logs(&asked, wish).await,
        }
    }
}

/// The name that the daemon writes: `cove-mcp/0.1.0 (claude-code 2.1; exec)`.
fn asker(request: &RequestContext<RoleServer>, tool: &str) -> String {
    let program = request.client_info().map(|program| format!("{} {}; ", program.name, program.version));
    format!("cove-mcp/{} ({}{tool})", env!("CARGO_PKG_VERSION"), program.unwrap_or_default())
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let name = &self.name;
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("cove", env!("CARGO_PKG_VERSION")))
            .with_instructions(format!(
                "The development environment `{name}`: a Linux container with the project's tools. Every tool acts on it \
                 and on nothing else. If it does not run, call `up` first. Paths are those inside it; relative ones begin \
                 at its workspace folder. Consent to what the project wants of the person's computer is the person's alone."
            ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        request: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let result = match Call::read(&call.name, call.arguments.unwrap_or_default()) {
            Ok(call) => self.call(call, &request).await,
            Err(tools::Unreadable::Tool) => {
                return Err(ErrorData::invalid_params(format!("there is no tool `{}`", call.name), None));
            }
            Err(tools::Unreadable::Arguments(problem)) => Err(problem.into()),
        };
        Ok(answer::of(result).into())
    }
}
