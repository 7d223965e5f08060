//! `cove control`

use api::{JoinRequest, Membership};

use super::secret::value;
use crate::arguments::ControlCommand;
use crate::context::Context;
use crate::failure::Failure;

pub(super) async fn run(context: &Context, command: ControlCommand) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        ControlCommand::Join { address, authority } => {
            let token = value::without_end_of_line(value::read(context.output, "the token")?);
            let joined = client.join_control(&JoinRequest { address, authority, token }).await?;
            context.output.note(&format!(
                "This computer is the runner {} of {} now.",
                joined.runner, joined.organization
            ));
            show(context, Some(&joined))
        }
        ControlCommand::Status => show(context, client.control().await?.membership.as_ref()),
        ControlCommand::Leave => {
            let former = client.leave_control().await?.membership;
            context.output.note(&match former {
                Some(former) => {
                    format!("This computer belongs to {} no more. Everything here runs on.", former.address)
                }
                None => "This computer belonged to no control plane.".to_owned(),
            });
            Ok(())
        }
    }
}

fn show(context: &Context, membership: Option<&Membership>) -> Result<(), Failure> {
    context.output.show(&membership, |_| match membership {
        None => "This computer belongs to no control plane; nothing needs one.\n".to_owned(),
        Some(membership) => {
            let date = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
            format!(
                "control plane   {}\norganization    {}\nrunner          {}\njoined          {}\ncertificate     until {}\n",
                membership.address,
                membership.organization,
                membership.runner,
                date(membership.joined_at),
                date(membership.certificate_expires_at),
            )
        }
    })
}
