// Short names for the generated types, and nothing else.
import type { components } from '../generated/control'

type Schemas = components['schemas']

export type AuditEntry = Schemas['AuditEntry']
export type AuditVerdict = Schemas['AuditVerdict']
export type ChangeMessage = Schemas['ChangeMessage']
export type Document = Schemas['Document']
export type Draft = Schemas['Draft']
export type EnrolmentToken = Schemas['EnrolmentToken']
export type Kind = Schemas['Kind']
export type Me = Schemas['Me']
export type PluralKind = Schemas['PluralKind']
export type PolicySpec = Schemas['PolicySpec']
export type Problem = Schemas['Problem']
export type ServerInfo = Schemas['ServerInfo']
export type Verb = Schemas['Verb']

/** A resource of one kind. */
export type Of<K extends Kind> = Extract<Document, { kind: K }>
