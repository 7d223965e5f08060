import { expect, test } from 'vitest'
import type { Environment } from '../../api/types'
import { nameOf, requestFor, subjectOf } from './request'

test('who said no is not asked again, and who said nothing waits to be asked', () => {
  const folder = '/src/web'
  expect(requestFor({ folder, answers: new Map() })).toEqual({ folder, rebuild: false, consents: [], unasked: 'wait', keep_variables: true })
  const said = new Map([['aa', true], ['bb', false]])
  expect(requestFor({ folder, answers: said })).toMatchObject({ consents: ['aa'], unasked: 'leave_out' })
  expect(requestFor({ folder, answers: new Map([['aa', true]]) })).toMatchObject({ consents: ['aa'], unasked: 'wait' })
})

test('a clone has no credentials unless they are granted', () => {
  const repository = 'https://git.example/team/web.git'
  expect(requestFor({ repository, branch: 'v1', answers: new Map() }).repository).toEqual({ url: repository, branch: 'v1', grant: false })
  expect(requestFor({ repository, grant: true, name: 'x', answers: new Map() })).toMatchObject({ repository: { url: repository, grant: true }, name: 'x' })
})

test('names are the last part of a path or URL', () => {
  expect(nameOf({ folder: '/src/web/' })).toBe('web')
  expect(nameOf({ repository: 'git@git.example:team/web.git' })).toBe('web')
  expect(nameOf({})).toBe('')
})

test('an environment is asked for again by its sources', () => {
  const of = (source: object): Environment => ({ spec: { source } }) as unknown as Environment
  expect(subjectOf(of({ type: 'folder', path: '/a' }))).toEqual({ folder: '/a' })
  expect(subjectOf(of({ type: 'clone', url: 'https://g/x', folder: '/c' }))).toEqual({ repository: 'https://g/x' })
})
