export const machine = {
  title: 'Machine',
}
