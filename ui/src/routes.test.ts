import { describe, expect, test, vi } from 'vitest'

vi.stubGlobal('window', { addEventListener: () => undefined })
const { href, parse } = await import('./routes')

describe('addresses', () => {
  test('lead back to where they came from, whatever is in a name', () => {
    for (const name of ['web', 'a b', 'a/b', '100%', '<img src=x>', '한국어', '?x=1#y']) {
      expect(parse(href('environments', [name, 'logs'], { tail: name }))).toEqual({ screen: 'environments', rest: [name, 'logs'], query: { tail: name } })
    }
  })

  test('that name nothing lead to the list of environments', () => {
    for (const hash of ['', '#', '#/', '#/nowhere/else', '#token=x']) expect(parse(hash)).toMatchObject({ screen: 'environments', rest: [] })
    expect(parse('#/docker/%E0%A4%A')).toMatchObject({ screen: 'docker', rest: ['%E0%A4%A'] })
  })
})
