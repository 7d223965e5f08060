// Where tasks and services stand in a drawing of what waits for what: nothing stands left of what it waits for.
import type { AutomationStatus } from '../../api/types'

export interface Node {
  item: AutomationStatus
  column: number
  row: number
}

export interface Graph {
  nodes: Node[]
  edges: { from: Node; to: Node }[]
  columns: number
  rows: number
}

/** What waits for nothing stands first; all others one column after the last they wait for. */
export function layOut(items: AutomationStatus[]): Graph {
  const known = new Map(items.map((item) => [item.name, item]))
  const columns = new Map<string, number>()
  const column = (item: AutomationStatus, above: Set<string>): number => {
    const found = columns.get(item.name)
    if (found !== undefined) return found
    // What waits for itself in a circle is refused by the daemon; a drawing of it ends all the same.
    if (above.has(item.name)) return 0
    const below = new Set(above).add(item.name)
    const needs = needsOf(item, known).map((need) => column(need, below) + 1)
    const place = Math.max(0, ...needs)
    columns.set(item.name, place)
    return place
  }
  const heights: number[] = []
  const nodes = items.map((item): Node => {
    const at = column(item, new Set())
    const row = heights[at] ?? 0
    heights[at] = row + 1
    return { item, column: at, row }
  })
  const byName = new Map(nodes.map((node) => [node.item.name, node]))
  const edges = nodes.flatMap((to) => needsOf(to.item, known).map((need) => ({ from: byName.get(need.name) as Node, to })))
  return { nodes, edges, columns: heights.length, rows: Math.max(0, ...heights.map((height) => height ?? 0)) }
}

function needsOf(item: AutomationStatus, known: Map<string, AutomationStatus>): AutomationStatus[] {
  return (item.depends_on ?? []).map((name) => known.get(name)).filter((need) => need !== undefined)
}
