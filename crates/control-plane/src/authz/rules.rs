//! The rules, and what they are asked about, in Cedar's terms.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use api::Name;
use api::control::{Kind, Permission, RoleSpec, TokenScope, Verb};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, RestrictedExpression as Value,
};

use super::{Asked, Asker, Target};

/// What decides.
const POLICIES: &str = include_str!("policies.cedar");

/// What explains.
const REASONS: &str = include_str!("reasons.cedar");

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    authorizer: Authorizer::new(),
    policies: POLICIES.parse().expect("the policies that were compiled in are Cedar"),
    reasons: REASONS.parse().expect("the reasons that were compiled in are Cedar"),
});

struct Rules {
    authorizer: Authorizer,
    policies: PolicySet,
    reasons: PolicySet,
}

/// Types of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Action,
    Environment,
    Everybody,
    Group,
    Host,
    Kind,
    Resource,
    Role,
    Runner,
    User,
    Verb,
}

/// Their names, by their numbers: reading one takes longer than a decision may.
static TYPES: LazyLock<[EntityTypeName; 11]> = LazyLock::new(|| {
    use Type::{Action, Environment, Everybody, Group, Host, Kind, Resource, Role, Runner, User, Verb};
    [Action, Environment, Everybody, Group, Host, Kind, Resource, Role, Runner, User, Verb]
        .map(|of| format!("{of:?}").parse().expect("names of types are words"))
});

/// What the rules say about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// These permit it, and none forbids it.
    Permitted(Vec<String>),
    /// These forbid it.
    Forbidden(Vec<String>),
    /// None permits it.
    Silent,
}

/// A question in Cedar's terms, to be asked for one role or for none.
pub(super) struct Question {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    entities: Entities,
    context: Vec<(String, Value)>,
}

impl Question {
    /// `people` are whoever asks, as a world knows them, and the roles that will be asked for.
    pub(super) fn new(asked: &Asked, people: impl IntoIterator<Item = Entity>) -> Self {
        let resource = resource(asked);
        let mut context = vec![("verb".to_owned(), verb(asked.verb))];
        if let Asker::User { scope: Some(scope), .. } = &asked.principal {
            context.push(("scope".to_owned(), self::scope(scope)));
        }
        let (principal, resource_uid) = (asker_uid(&asked.principal), resource.uid());
        let entities = Entities::from_entities(people.into_iter().chain([resource]), None)
            .expect("each of these has a name of its own, and none is above itself");
        let action = uid(Type::Action, asked.verb.as_str());
        Self { principal, action, resource: resource_uid, entities, context }
    }

    /// What the rules say, when this role is the one that is asked about.
    pub(super) fn verdict(&self, role: Option<&EntityUid>) -> Verdict {
        let response = RULES.authorizer.is_authorized(&self.request(role), &RULES.policies, &self.entities);
        // Cedar leaves out a rule that failed. One that forbids must not get lost like that.
        if let Some(error) = response.diagnostics().errors().next() {
            tracing::error!(%error, "a rule failed, so what it was asked about is denied");
            return Verdict::Forbidden(vec!["a rule failed".to_owned()]);
        }
        let rules = ids(&RULES.policies, response.diagnostics().reason());
        match response.decision() {
            Decision::Allow => Verdict::Permitted(rules),
            Decision::Deny if rules.is_empty() => Verdict::Silent,
            Decision::Deny => Verdict::Forbidden(rules),
        }
    }

    /// What keeps this role from letting somebody do it, by the ids of the reasons.
    pub(super) fn why_not(&self, role: &EntityUid) -> Vec<String> {
        let request = self.request(Some(role));
        let response = RULES.authorizer.is_authorized(&request, &RULES.reasons, &self.entities);
        ids(&RULES.reasons, response.diagnostics().reason())
    }

    fn request(&self, role: Option<&EntityUid>) -> Request {
        let role = role.map(|role| ("role".to_owned(), Value::new_entity_uid(role.clone())));
        let context = Context::from_pairs(self.context.iter().cloned().chain(role))
            .expect("its keys are different, and its values are data");
        Request::new(self.principal.clone(), self.action.clone(), self.resource.clone(), context, None)
            .expect("without a schema there is nothing a request could violate")
    }

    #[cfg(test)]
    pub(super) fn conforms(&self, role: Option<&EntityUid>, schema: &cedar_policy::Schema) {
        let request = self.request(role);
        let context = request.context().unwrap().clone();
        let (principal, action, resource) =
            (self.principal.clone(), self.action.clone(), self.resource.clone());
        Request::new(principal, action, resource, context, Some(schema)).unwrap();
        Entities::from_entities(self.entities.iter().cloned(), Some(schema)).unwrap();
    }
}

/// What people read for rules: in the order of the file they are in.
fn ids<'a>(rules: &PolicySet, which: impl Iterator<Item = &'a PolicyId>) -> Vec<String> {
    let mut which: Vec<_> = which.collect();
    which.sort_by_key(|id| {
        AsRef::<str>::as_ref(*id).trim_start_matches("policy").parse().unwrap_or(usize::MAX)
    });
    which.into_iter().map(|id| rules.annotation(id, "id").unwrap_or_default().to_owned()).collect()
}

/// A role, as data.
pub(super) fn role(uid: EntityUid, spec: &RoleSpec) -> Entity {
    let right = |(verb, kind): &(Verb, Kind)| {
        let fields = [("verb".to_owned(), self::verb(*verb)), ("kind".to_owned(), self::kind(*kind))];
        Value::new_record(fields).expect("two keys are different")
    };
    let rights = rights(spec);
    let kinds: BTreeSet<_> = rights.iter().map(|(_, kind)| *kind).collect();
    let mut attributes = vec![
        ("rights".to_owned(), Value::new_set(rights.iter().map(right))),
        ("kinds".to_owned(), Value::new_set(kinds.into_iter().map(kind))),
        ("own".to_owned(), Value::new_bool(spec.own)),
    ];
    if let Some(projects) = &spec.projects {
        attributes.push(("projects".to_owned(), Value::new_set(projects.iter().map(text))));
    }
    entity(uid, attributes, [])
}

/// Everything a role lets its subjects do.
pub(super) fn rights(spec: &RoleSpec) -> BTreeSet<(Verb, Kind)> {
    let of = |permission: &Permission| {
        let (verbs, kinds) = (or_all(&permission.verbs, &Verb::ALL), or_all(&permission.kinds, &Kind::ALL));
        verbs.into_iter().flat_map(move |verb| kinds.clone().into_iter().map(move |kind| (verb, kind)))
    };
    spec.permissions.iter().flat_map(of).collect()
}

/// What an empty list stands for.
fn or_all<T: Copy>(some: &[T], all: &[T]) -> Vec<T> {
    if some.is_empty() { all } else { some }.to_vec()
}

/// A person.
pub(super) fn user(
    organization: &Name,
    name: &Name,
    suspended: bool,
    below: impl IntoIterator<Item = EntityUid>,
) -> Entity {
    let attributes = vec![
        ("organization".to_owned(), text(organization)),
        ("suspended".to_owned(), Value::new_bool(suspended)),
    ];
    entity(within(Type::User, organization, name), attributes, below)
}

/// Something that is nothing but below others.
pub(super) fn below(uid: EntityUid, above: impl IntoIterator<Item = EntityUid>) -> Entity {
    entity(uid, Vec::new(), above)
}

/// Whoever asks and is no person.
pub(super) fn machine(asker: &Asker) -> Option<Entity> {
    let attributes = match asker {
        Asker::User { .. } => return None,
        Asker::Runner { organization, .. } => vec![("organization".to_owned(), text(organization))],
        Asker::Environment { organization, project, .. } => {
            let organization = ("organization".to_owned(), text(organization));
            let project = project.as_ref().map(|project| ("project".to_owned(), text(project)));
            std::iter::once(organization).chain(project).collect()
        }
        Asker::Host => Vec::new(),
    };
    Some(entity(asker_uid(asker), attributes, []))
}

fn asker_uid(asker: &Asker) -> EntityUid {
    match asker {
        Asker::User { organization, name, .. } => within(Type::User, organization, name),
        Asker::Runner { organization, name } => within(Type::Runner, organization, name),
        Asker::Environment { organization, name, .. } => within(Type::Environment, organization, name),
        Asker::Host => uid(Type::Host, "host"),
    }
}

fn resource(asked: &Asked) -> Entity {
    let kind = asked.kind;
    let Target { organization, name, project, owner, runners } = &asked.resource;
    let runners =
        runners.iter().map(|runner| Value::new_entity_uid(within(Type::Runner, organization, runner)));
    let mut attributes = vec![
        ("organization".to_owned(), text(organization)),
        ("kind".to_owned(), self::kind(kind)),
        ("every".to_owned(), Value::new_bool(asked.is_of_every())),
        ("runners".to_owned(), Value::new_set(runners)),
    ];
    let mut add = |key: &str, value| attributes.push((key.to_owned(), value));
    if let Some(project) = project {
        add("project", text(project));
    }
    if let Some(owner) = owner {
        add("owner", Value::new_entity_uid(within(Type::User, organization, owner)));
    }
    if let (Kind::Environment, Some(name)) = (kind, name) {
        add("environment", Value::new_entity_uid(within(Type::Environment, organization, name)));
    }
    let name = name.as_ref().map_or("", Name::as_str);
    entity(uid(Type::Resource, &format!("{organization}/{kind}/{name}")), attributes, [])
}

fn scope(scope: &TokenScope) -> Value {
    let verbs = or_all(&scope.verbs, &Verb::ALL).into_iter().map(verb);
    let kinds = or_all(&scope.kinds, &Kind::ALL).into_iter().map(kind);
    let fields = [("verbs".to_owned(), Value::new_set(verbs)), ("kinds".to_owned(), Value::new_set(kinds))];
    Value::new_record(fields).expect("two keys are different")
}

fn verb(verb: Verb) -> Value {
    Value::new_entity_uid(uid(Type::Verb, verb.as_str()))
}

fn kind(kind: Kind) -> Value {
    Value::new_entity_uid(uid(Type::Kind, kind.as_str()))
}

fn text(name: &Name) -> Value {
    Value::new_string(name.to_string())
}

/// Something of an organization. Names have no `/`.
pub(super) fn within(of: Type, organization: &Name, name: &Name) -> EntityUid {
    uid(of, &format!("{organization}/{name}"))
}

pub(super) fn uid(of: Type, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(TYPES[of as usize].clone(), EntityId::new(id))
}

fn entity(
    uid: EntityUid,
    attributes: Vec<(String, Value)>,
    above: impl IntoIterator<Item = EntityUid>,
) -> Entity {
    let above: HashSet<_> = above.into_iter().collect();
    Entity::new_with_tags(uid, attributes, above, []).expect("attributes are data, in which nothing can fail")
}
