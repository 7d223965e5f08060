export const open = {
  title: 'Open',
}
