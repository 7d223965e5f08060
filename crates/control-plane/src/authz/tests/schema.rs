//! That rules, data and schema speak of the same things.

use std::collections::BTreeSet;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};

use super::super::rules::{self, Question, Type};
use super::*;

fn schema() -> Schema {
    include_str!("../schema.cedarschema").parse().unwrap()
}

#[test]
fn the_rules_are_valid_and_each_has_a_name() {
    for text in [include_str!("../policies.cedar"), include_str!("../reasons.cedar")] {
        let rules: PolicySet = text.parse().unwrap();
        let result = Validator::new(schema()).validate(&rules, ValidationMode::Strict);
        assert!(result.validation_passed_without_warnings(), "{result}");
        let names: BTreeSet<_> = rules.policies().map(|rule| rule.annotation("id").unwrap()).collect();
        assert_eq!(names.len(), rules.num_of_policies(), "{names:?}");
    }
}

#[test]
fn the_schema_has_each_verb_and_kind() {
    let schema = schema();
    let actions: BTreeSet<_> = schema.actions().map(|action| action.id().unescaped().to_owned()).collect();
    assert_eq!(actions, Verb::ALL.map(|verb| verb.to_string()).into());
    let text = include_str!("../schema.cedarschema");
    let listed = |of: &str| -> BTreeSet<String> {
        let (_, rest) = text.split_once(&format!("entity {of} enum [")).unwrap();
        let (list, _) = rest.split_once("];").unwrap();
        list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect()
    };
    assert_eq!(listed("Kind"), Kind::ALL.map(|kind| kind.to_string()).into());
    assert_eq!(listed("Verb"), Verb::ALL.map(|verb| verb.to_string()).into());
}

#[test]
fn whatever_is_asked_is_as_the_schema_has_it() {
    let schema = schema();
    let scope = Some(api::control::TokenScope::default());
    let acme = name("acme");
    let askers = [
        user("ann"),
        Asker::User { organization: acme.clone(), name: name("ann"), scope },
        Asker::Runner { organization: acme.clone(), name: name("big") },
        Asker::Environment { organization: acme.clone(), name: name("a"), project: None },
        Asker::Environment { organization: acme.clone(), name: name("a"), project: Some(name("shop")) },
        Asker::Host,
    ];
    let targets = [
        Target::every(&acme),
        one("it"),
        Target { runners: [name("big")].into(), ..owned("ann") },
        in_project("shop"),
    ];
    let mut spec = role(&[Subject::Everybody], &[permission(&[], &[])]);
    spec.projects = Some(vec![name("shop")]);
    let uid = rules::within(Type::Role, &acme, &name("r"));
    for asker in &askers {
        for kind in Kind::ALL {
            for verb in Verb::ALL {
                for target in &targets {
                    let asked = ask(asker, verb, kind, target.clone());
                    let people = match asker {
                        Asker::User { .. } => vec![
                            rules::user(&acme, &name("ann"), false, [uid.clone()]),
                            rules::role(uid.clone(), &spec),
                        ],
                        _ => rules::machine(asker).into_iter().collect(),
                    };
                    let question = Question::new(&asked, people);
                    question.conforms(None, &schema);
                    if matches!(asker, Asker::User { .. }) {
                        question.conforms(Some(&uid), &schema);
                    }
                }
            }
        }
    }
}
