export const diagnostics = {
  title: 'Diagnostics',
}
