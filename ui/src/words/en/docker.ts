export const docker = {
  title: 'Docker',
}
