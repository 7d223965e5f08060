import { mount } from 'svelte'
import App from './App.svelte'
import { team } from './team.svelte'
import '../styles/base.css'

const target = document.getElementById('app')
if (!target) throw new Error('control.html has the element that the page is put into')
mount(App, { target })
window.addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) team.retry()
})
void team.follow()
