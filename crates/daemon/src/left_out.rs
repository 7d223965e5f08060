//! What the image, the features and the compose files of a container want to mount and do not get, and what else is to be
//! told of them.

use api::{Consent, Environment, Problem};
use reconciler::{ContainerFacts, Trust};

use crate::consent::Withheld;
use crate::reconcile::{Parts, Prepared};

/// Mounts of images, features and compose services that are not in the container.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Nobody agreed to these.
    pub(crate) withheld: Withheld,
    /// A person agreed to these after the container was made.
    pub(crate) agreed_since: Vec<Consent>,
    /// What a person should know of the features.
    pub(crate) feature_warnings: Vec<Problem>,
}

impl LeftOut {
    /// Together with those of the configuration.
    pub(crate) fn with(&self, withheld: &Withheld) -> Withheld {
        let mut all = withheld.clone();
        all.extend(self.withheld.clone());
        all
    }

    /// What is left out of the container that is there, or of the one that is about to be made.
    pub(crate) fn of(
        parts: &Parts,
        environment: &Environment,
        container: &ContainerFacts,
        prepared: Option<&Prepared>,
    ) -> Result<Self, Problem> {
        let mut left_out = Self::default();
        if let ContainerFacts::Present { digest, rebuild, .. } = container
            && *rebuild == environment.spec.rebuild
        {
            let judge = parts.judge(environment);
            let made_from = parts.store.made_from(&environment.id)?;
            let Some(made_from) = made_from.filter(|it| it.digest == *digest) else { return Ok(left_out) };
            left_out.feature_warnings = made_from.feature_warnings;
            for consent in made_from.left_out {
                match judge.trust(&consent) {
                    Trust::Given => left_out.agreed_since.push(consent),
                    trust @ (Trust::Open | Trust::Refused) => {
                        left_out.withheld.extend(Withheld(vec![(consent, trust)]));
                    }
                }
            }
        } else if let Some(prepared) = prepared {
            left_out.withheld = prepared.withheld.clone();
            left_out.feature_warnings.clone_from(&prepared.feature_warnings);
        }
        Ok(left_out)
    }
}
