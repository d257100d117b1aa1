import '@fontsource-variable/inter/wght.css'
import './styles/base.css'
import './styles/app.css'
import { createRoot } from 'react-dom/client'
import { App } from './App.js'
import { device } from './device.js'

document.title = `${device} · typeorm-sync`
createRoot(document.getElementById('app')!).render(<App />)
if (import.meta.env.PROD) void navigator.serviceWorker?.register('/sw.js')
