//! What an organization's users, groups and roles say, ready to be asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::Name;
use api::control::{
    Decision, Document, GroupSpec, Kind, LookedAt, RoleSpec, Subject, TokenScope, UserSpec, Verb, WhyNot,
};
use cedar_policy::{Entities, Entity, EntityUid};
use serde::Deserialize;

use super::rules::{self, Question, Type, Verdict};
use super::{Asked, Asker, Target};

/// What is said where no rule says anything.
const BY_DEFAULT: &str = "deny by default";

/// The users, groups and roles of one organization.
#[derive(Debug)]
pub struct World {
    organization: Name,
    users: HashMap<Name, Person>,
    /// By name.
    roles: Vec<Role>,
}

#[derive(Debug)]
struct Person {
    entity: Entity,
    groups: BTreeSet<Name>,
    /// Which of the roles they have.
    roles: Vec<usize>,
}

#[derive(Debug)]
struct Role {
    name: Name,
    spec: RoleSpec,
    uid: EntityUid,
    entity: Entity,
    rights: BTreeSet<(Verb, Kind)>,
}

impl World {
    /// From an organization's documents; those of other kinds and of other organizations are passed over.
    ///
    /// # Errors
    /// A spec has not the form of its kind.
    pub fn of_documents<'a>(
        organization: &Name,
        documents: impl IntoIterator<Item = &'a Document>,
    ) -> Result<Self, serde_json::Error> {
        let (mut users, mut groups, mut roles) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for document in documents {
            if &document.metadata.organization != organization {
                continue;
            }
            let (name, spec) = (document.metadata.name.clone(), &document.spec);
            match document.kind {
                Kind::User => drop(users.insert(name, UserSpec::deserialize(spec)?)),
                Kind::Group => drop(groups.insert(name, GroupSpec::deserialize(spec)?)),
                Kind::Role => drop(roles.insert(name, RoleSpec::deserialize(spec)?)),
                _ => {}
            }
        }
        Ok(Self::new(organization, users, groups, roles))
    }

    /// From specs, by name.
    pub fn new(
        organization: &Name,
        users: BTreeMap<Name, UserSpec>,
        groups: BTreeMap<Name, GroupSpec>,
        roles: BTreeMap<Name, RoleSpec>,
    ) -> Self {
        let groups_of = groups_by_member(&groups);
        let entities = entities(organization, &users, &groups_of, groups.keys(), &roles);
        let role = |(name, spec): (Name, RoleSpec)| {
            let uid = rules::within(Type::Role, organization, &name);
            Role { entity: rules::role(uid.clone(), &spec), rights: rules::rights(&spec), name, spec, uid }
        };
        let roles: Vec<_> = roles.into_iter().map(role).collect();
        let person = |name: Name| {
            let uid = rules::within(Type::User, organization, &name);
            let entity = entities.get(&uid).expect("each user was put there").clone();
            let has = |role: &Role| entities.is_ancestor_of(&role.uid, &uid);
            let has =
                roles.iter().enumerate().filter(|(_, role)| has(role)).map(|(index, _)| index).collect();
            let groups = groups_of.get(&name).cloned().unwrap_or_default();
            (name, Person { entity, groups, roles: has })
        };
        let users = users.into_keys().map(person).collect();
        Self { organization: organization.clone(), users, roles }
    }

    /// Whether something may be done. The first role by name that allows it is named; see [`World::explain`] for all.
    pub fn decide(&self, asked: &Asked) -> Decision {
        let roles = self.roles_for(asked);
        let people = self.principal(asked).into_iter().chain(roles.iter().map(|role| role.entity.clone()));
        let question = Question::new(asked, people);
        for role in &roles {
            match question.verdict(Some(&role.uid)) {
                Verdict::Silent => {}
                decided => return decision(decided, Some(role)),
            }
        }
        // Rules that need no role, or that forbid whatever roles say, were not heard yet if there was none.
        let verdict = if roles.is_empty() { question.verdict(None) } else { Verdict::Silent };
        decision(verdict, None)
    }

    /// The same, with each role of the organization and what keeps it from allowing this.
    pub fn explain(&self, asked: &Asked) -> Decision {
        let people =
            self.principal(asked).into_iter().chain(self.roles.iter().map(|role| role.entity.clone()));
        let question = Question::new(asked, people);
        let mut whole = decision(question.verdict(None), None);
        let Asker::User { name, .. } = &asked.principal else { return whole };
        for role in &self.roles {
            if let permitted @ Verdict::Permitted(_) = question.verdict(Some(&role.uid)) {
                let because = decision(permitted, Some(role)).because;
                if whole.allowed {
                    whole.because.extend(because);
                } else {
                    whole = Decision { allowed: true, because, looked_at: whole.looked_at };
                }
            }
            let why_not = question.why_not(&role.uid).iter().map(|id| role.why_not(id, asked)).collect();
            let through = self.person(asked).map_or_else(Vec::new, |person| role.through(name, person));
            whole.looked_at.push(LookedAt { role: role.name.clone(), through, why_not });
        }
        whole
    }

    /// What somebody may do with at least some of a kind, as far as roles and the scope of their token say. It decides
    /// nothing: that is [`World::decide`]'s. Only people have roles.
    pub fn permits(&self, who: &Asker) -> BTreeMap<Kind, Vec<Verb>> {
        let mut permits: BTreeMap<Kind, BTreeSet<Verb>> = BTreeMap::new();
        let Asker::User { organization, name, scope } = who else { return BTreeMap::new() };
        let Some(person) = self.users.get(name).filter(|_| *organization == self.organization) else {
            return BTreeMap::new();
        };
        let rights = person.roles.iter().flat_map(|index| &self.roles[*index].rights);
        // Reporting is nobody's who is a person, whatever a role says.
        for (verb, kind) in rights.filter(|(verb, _)| *verb != Verb::Report) {
            let one = TokenScope { verbs: vec![*verb], kinds: vec![*kind] };
            if scope.as_ref().is_none_or(|scope| one.is_within(scope)) {
                permits.entry(*kind).or_default().insert(*verb);
            }
        }
        permits.into_iter().map(|(kind, verbs)| (kind, verbs.into_iter().collect())).collect()
    }

    /// Whether all of these may be done. The first that may not is the answer.
    pub fn decide_all<'a>(
        &self,
        asked: impl IntoIterator<Item = &'a Asked>,
    ) -> Result<Decision, (&'a Asked, Decision)> {
        let mut because: Vec<String> = Vec::new();
        for one in asked {
            let decision = self.decide(one);
            if !decision.allowed {
                return Err((one, decision));
            }
            for rule in decision.because {
                if !because.contains(&rule) {
                    because.push(rule);
                }
            }
        }
        Ok(Decision { allowed: true, because, looked_at: Vec::new() })
    }

    /// Whether somebody who may list a kind sees all of it, so that nothing has to be asked one by one: they may list even
    /// one that is nobody's, of no project and on no runner.
    pub fn sees_all(&self, principal: &Asker, kind: Kind) -> bool {
        let nobodys = Target::one(&self.organization, &self.organization);
        let asked = Asked { principal: principal.clone(), verb: Verb::List, kind, resource: nobodys };
        self.decide(&asked).allowed
    }

    /// The roles that a person or a group is given, by name: a person's those of their groups too. What everybody has is given
    /// to nobody.
    pub fn given_to(&self, subject: &Subject) -> Vec<&Name> {
        let groups = match subject {
            Subject::User(name) => self.users.get(name).map(|person| &person.groups),
            Subject::Group(_) | Subject::Everybody => None,
        };
        let is = |of: &Subject| match of {
            Subject::Everybody => false,
            Subject::Group(group) if groups.is_some_and(|groups| groups.contains(group)) => true,
            of => of == subject,
        };
        let given = self.roles.iter().filter(|role| role.spec.subjects.iter().any(is));
        given.map(|role| &role.name).collect()
    }

    /// Roles that could allow it: those that the person has and that may reach such a thing. This only leaves out roles, so
    /// that few are asked about; the rules decide about what is left.
    fn roles_for(&self, asked: &Asked) -> Vec<&Role> {
        let Some(person) = self.person(asked) else { return Vec::new() };
        let has = person.roles.iter().map(|index| &self.roles[*index]);
        has.filter(|role| role.may_reach(asked)).collect()
    }

    fn person(&self, asked: &Asked) -> Option<&Person> {
        match &asked.principal {
            Asker::User { organization, name, .. } if *organization == self.organization => {
                self.users.get(name)
            }
            _ => None,
        }
    }

    /// Whoever asks. Somebody unknown is below nothing.
    fn principal(&self, asked: &Asked) -> Option<Entity> {
        match (&asked.principal, self.person(asked)) {
            (_, Some(person)) => Some(person.entity.clone()),
            (Asker::User { organization, name, .. }, None) => {
                Some(rules::user(organization, name, false, []))
            }
            (machine, None) => rules::machine(machine),
        }
    }
}

/// The groups of each person.
fn groups_by_member(groups: &BTreeMap<Name, GroupSpec>) -> HashMap<Name, BTreeSet<Name>> {
    let mut by_member: HashMap<Name, BTreeSet<Name>> = HashMap::new();
    for (group, spec) in groups {
        for member in &spec.members {
            by_member.entry(member.clone()).or_default().insert(group.clone());
        }
    }
    by_member
}

/// People below their groups, and these and everybody below their roles.
fn entities<'a>(
    organization: &Name,
    users: &BTreeMap<Name, UserSpec>,
    groups_of: &HashMap<Name, BTreeSet<Name>>,
    groups: impl Iterator<Item = &'a Name>,
    roles: &BTreeMap<Name, RoleSpec>,
) -> Entities {
    let of = |kind, name: &Name| rules::within(kind, organization, name);
    let everybody = rules::uid(Type::Everybody, organization.as_str());
    let mut roles_of: HashMap<EntityUid, Vec<EntityUid>> = HashMap::new();
    for (name, spec) in roles {
        for subject in &spec.subjects {
            let subject = match subject {
                Subject::User(user) => of(Type::User, user),
                Subject::Group(group) => of(Type::Group, group),
                Subject::Everybody => everybody.clone(),
            };
            roles_of.entry(subject).or_default().push(of(Type::Role, name));
        }
    }
    let mut roles_of = |uid: &EntityUid| roles_of.remove(uid).unwrap_or_default();
    let mut people = vec![rules::below(everybody.clone(), roles_of(&everybody))];
    for group in groups.map(|name| of(Type::Group, name)) {
        let roles = roles_of(&group);
        people.push(rules::below(group, roles));
    }
    for (name, spec) in users {
        let groups = groups_of.get(name).into_iter().flatten().map(|group| of(Type::Group, group));
        let above = groups.chain(roles_of(&of(Type::User, name))).chain([everybody.clone()]);
        people.push(rules::user(organization, name, spec.suspended, above));
    }
    Entities::from_entities(people, None)
        .expect("a name is there once a kind, and people are below groups, and these below roles")
}

impl Role {
    /// Whether it is worth asking about.
    fn may_reach(&self, asked: &Asked) -> bool {
        let Target { project, owner, .. } = &asked.resource;
        let projects = self.spec.projects.as_ref();
        let in_project = || {
            projects.is_none_or(|projects| project.as_ref().is_some_and(|project| projects.contains(project)))
        };
        self.rights.contains(&(asked.verb, asked.kind))
            && (asked.is_of_every() || ((!self.spec.own || owner.is_some()) && in_project()))
    }

    /// Through whom somebody has it.
    fn through(&self, user: &Name, person: &Person) -> Vec<Subject> {
        let is = |subject: &&Subject| match subject {
            Subject::User(name) => name == user,
            Subject::Group(name) => person.groups.contains(name),
            Subject::Everybody => true,
        };
        self.spec.subjects.iter().filter(is).cloned().collect()
    }

    /// A reason with what there is to say about it.
    fn why_not(&self, id: &str, asked: &Asked) -> WhyNot {
        let (kind, resource) = (asked.kind, &asked.resource);
        match id {
            "kind" => WhyNot::Kind { kind },
            "verb" => {
                let with = Verb::ALL.into_iter().filter(|verb| self.rights.contains(&(*verb, kind)));
                WhyNot::Verb { kind, verbs: with.collect() }
            }
            "project" => WhyNot::Project {
                projects: self.spec.projects.clone().unwrap_or_default(),
                project: resource.project.clone(),
            },
            "own" => WhyNot::Own { owner: resource.owner.clone() },
            _ => WhyNot::Subject,
        }
    }
}

fn decision(verdict: Verdict, role: Option<&Role>) -> Decision {
    let (allowed, because) = match verdict {
        Verdict::Permitted(rules) => {
            let named = |rule: String| match role {
                Some(role) if rule == "role" => format!("role {}", role.name),
                _ => rule,
            };
            (true, rules.into_iter().map(named).collect())
        }
        Verdict::Forbidden(rules) => (false, rules),
        Verdict::Silent => (false, vec![BY_DEFAULT.to_owned()]),
    };
    Decision { allowed, because, looked_at: Vec::new() }
}
