export const firstRun = {
  title: 'Welcome to Cove',
}
