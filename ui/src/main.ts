import { mount } from 'svelte'
import App from './App.svelte'
import { cove } from './state/cove.svelte'
import './styles/base.css'

const target = document.getElementById('app')
if (!target) throw new Error('index.html has the element that the page is put into')
mount(App, { target })
// A page that lost its session is let in again by an address that is pasted into it.
window.addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) cove.retry()
})
void cove.follow()
