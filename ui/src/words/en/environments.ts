export const environments = {
  title: 'Environments',
}
