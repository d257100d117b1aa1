import { switchNetwork, useNetwork } from './network.js'

export function NetworkSwitch() {
  const isOn = useNetwork()
  return (
    <button type="button" role="switch" aria-checked={isOn} className="switch" onClick={() => switchNetwork(!isOn)}>
      <span className="label">Network</span>
      <span className="track" aria-hidden="true" />
    </button>
  )
}
