// The look, by variables that a page may set on the element.

export const STYLES = `
:host {
  --own-text: var(--inspector-text, light-dark(#1d2430, #e3e7ee));
  --own-muted: var(--inspector-muted, light-dark(#5a6474, #9ba6b6));
  --own-ground: var(--inspector-ground, light-dark(#ffffff, #14181f));
  --own-surface: var(--inspector-surface, light-dark(#f6f7f9, #1b212a));
  --own-line: var(--inspector-line, light-dark(#dfe3e9, #303845));
  --own-control: light-dark(#848e9d, #6c7889);
  --own-accent: var(--inspector-accent, light-dark(#2456c4, #93b4ff));
  --own-on-accent: var(--inspector-on-accent, light-dark(#ffffff, #0f1a33));
  --own-good: light-dark(#1a7348, #6fcf9b);
  --own-warn: light-dark(#8a5a00, #e6b75c);
  --own-bad: light-dark(#b3261e, #ff9d94);
  --own-local: light-dark(#2456c4, #93b4ff);
  --own-remote: light-dark(#7a3fae, #cfa3f5);
  --own-mono: var(--inspector-mono, ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace);
  color-scheme: light dark;
  display: block;
  container-type: inline-size;
  font: 0.9375rem/1.5 var(--inspector-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  color: var(--own-text);
  text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
*, *::before, *::after { box-sizing: border-box; }
.inspector { background: var(--own-ground); border: 1px solid var(--own-line); border-radius: 12px; overflow: clip; }
h2, h3, p, ul, dl, fieldset { margin: 0; padding: 0; border: 0; }
h2, h3 { font-size: inherit; line-height: inherit; font-weight: 600; }
ul { list-style: none; }
code { font: 0.8125rem/1.5 var(--own-mono); color: var(--own-muted); overflow-wrap: anywhere; }
time { font-variant-numeric: tabular-nums; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

:focus-visible { outline: 2px solid var(--own-accent); outline-offset: 2px; }
[role=tabpanel]:focus-visible, .card:focus-visible { outline-offset: -2px; }

button, input, select, textarea { font: inherit; color: inherit; }
button {
  padding: 0.3125rem 0.75rem; border: 1px solid var(--own-line); border-radius: 7px;
  background: var(--own-ground); cursor: pointer; line-height: 1.4; font-weight: 500;
}
button:hover { border-color: var(--own-control); background: var(--own-surface); }
button.main { background: var(--own-accent); border-color: var(--own-accent); color: var(--own-on-accent); }
button.main:hover { filter: brightness(1.08); }
button.danger { background: var(--own-bad); border-color: var(--own-bad); color: light-dark(#ffffff, #2b0906); }
button.quiet { color: var(--own-muted); }
button.quiet:hover { color: var(--own-text); }
input[type=text], select, textarea {
  width: 100%; padding: 0.3125rem 0.5rem; border: 1px solid var(--own-control); border-radius: 6px; background: var(--own-ground);
}
textarea { resize: vertical; display: block; }
input[type=radio], input[type=checkbox] { accent-color: var(--own-accent); margin: 0; inline-size: 1rem; block-size: 1rem; flex: none; }

.status { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1rem; padding: 0.875rem 1rem; }
.state { display: flex; align-items: center; gap: 0.75rem; flex: 1 1 9rem; min-width: 0; }
.state .detail { color: var(--own-muted); font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.dot { inline-size: 0.625rem; block-size: 0.625rem; border-radius: 50%; background: var(--own-control); flex: none; box-shadow: 0 0 0 4px color-mix(in srgb, currentColor 14%, transparent); color: var(--own-control); }
[data-state=idle] .dot { background: var(--own-good); color: var(--own-good); }
[data-state=syncing] .dot { background: var(--own-accent); color: var(--own-accent); }
[data-state=offline] .dot, [data-state=signed-out] .dot { background: var(--own-warn); color: var(--own-warn); }
[data-state=failed] .dot { background: var(--own-bad); color: var(--own-bad); }
.status .error { flex: 1 0 100%; font-size: 0.8125rem; color: var(--own-muted); overflow-wrap: anywhere; }
[data-state=failed] .error { color: var(--own-bad); }
[data-state=offline] .error, [data-state=signed-out] .error { color: var(--own-warn); }

[role=tablist] { display: flex; flex-wrap: wrap; gap: 0 0.125rem; padding: 0 0.625rem; border-block-end: 1px solid var(--own-line); }
[role=tab] {
  border: 0; border-radius: 6px 6px 0 0; background: none; color: var(--own-muted); padding: 0.5rem 0.5rem 0.4375rem;
  border-block-end: 2px solid transparent; margin-block-end: -1px;
}
[role=tab]:hover { color: var(--own-text); background: var(--own-surface); }
[role=tab][aria-selected=true] { color: var(--own-text); border-block-end-color: var(--own-accent); }
[role=tab]:focus-visible { outline-offset: -2px; }
.badge {
  display: inline-block; min-inline-size: 1.25rem; padding: 0 0.375rem; border-radius: 999px; font-size: 0.75rem; line-height: 1.25rem;
  text-align: center; background: var(--own-surface); border: 1px solid var(--own-line); font-variant-numeric: tabular-nums;
}
#tab-conflicts .badge, #tab-rejected .badge { color: var(--own-warn); border-color: currentColor; }
[role=tabpanel] { padding: 1rem; }

.message { padding: 0 1rem; font-size: 0.875rem; overflow-wrap: anywhere; }
.message:not(:empty) { padding-block: 0.5rem; background: var(--own-surface); border-block-end: 1px solid var(--own-line); }
.message[data-tone=good] { color: var(--own-good); }
.message[data-tone=bad] { color: var(--own-bad); }

.about, .none, .why, .detail, .which { color: var(--own-muted); }
.about, .none { font-size: 0.875rem; }
.about { margin-block-end: 0.75rem; }
.none { padding: 2rem 0; text-align: center; }
.cards { display: grid; gap: 0.75rem; }
.card { border: 1px solid var(--own-line); border-radius: 10px; padding: 0.875rem; display: grid; gap: 0.625rem; min-width: 0; }
.card > * { min-width: 0; }
.card header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.5rem; }
.card h3 { overflow-wrap: anywhere; unicode-bidi: isolate; }
.which { flex: 1 0 100%; font-size: 0.8125rem; overflow-wrap: anywhere; }
.tag { font-size: 0.75rem; line-height: 1.25rem; padding: 0 0.5rem; border-radius: 999px; border: 1px solid var(--own-line); background: var(--own-surface); color: var(--own-muted); }
.why, .detail { font-size: 0.875rem; overflow-wrap: anywhere; }
.actions { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.more { margin-block-start: 0.75rem; }
details > summary { cursor: pointer; font-size: 0.8125rem; color: var(--own-muted); border-radius: 4px; }
details[open] > summary { margin-block-end: 0.5rem; }
details > ul { font-size: 0.875rem; padding-inline-start: 1rem; }

.compare { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: 0.875rem; }
.compare th, .compare td { padding: 0.375rem 0.5rem; text-align: start; vertical-align: top; border-block-start: 1px solid var(--own-line); overflow-wrap: anywhere; min-width: 0; }
.compare thead th { color: var(--own-muted); font-weight: 500; font-size: 0.75rem; border-block-start: 0; padding-block-start: 0; }
.compare tbody th { font-weight: 500; }
.compare th:first-child, .compare td:first-child { padding-inline-start: 0; }

.value { unicode-bidi: isolate; white-space: pre-wrap; overflow-wrap: anywhere; }
.value.word { font-style: italic; color: var(--own-muted); }
.value.number, .value.boolean, .value.date, .value.bytes, .value.reference, .value.json { font: 0.8125rem/1.6 var(--own-mono); }
.value.reference { color: var(--own-muted); }
.value.reference::before { content: "→ "; }
.value.reference .name { font: 0.875rem/1.5 var(--inspector-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif); color: var(--own-text); unicode-bidi: isolate; }
.value.long summary { color: inherit; font: inherit; white-space: pre-wrap; list-style: none; }
.value.long summary::-webkit-details-marker { display: none; }
.value.long .more { display: block; color: var(--own-accent); font: 0.8125rem/1.5 var(--inspector-font, system-ui, sans-serif); margin: 0; }
.value.long[open] > summary > :first-child { display: none; }
.value.long > [role=group] { display: block; max-block-size: 16rem; overflow-y: auto; }
.picture { display: grid; gap: 0.25rem; justify-items: start; }
.picture img { max-inline-size: 100%; max-block-size: 8rem; border-radius: 6px; border: 1px solid var(--own-line); background: var(--own-surface); }

.card form, .properties { display: grid; gap: 0.75rem; min-width: 0; }
.property { min-width: 0; }
.property > legend { font-weight: 600; padding: 0; margin-block-end: 0.25rem; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9rem), 1fr)); gap: 0.5rem; }
.tile { border: 1px solid var(--own-line); border-radius: 8px; padding: 0.5rem 0.625rem 0.625rem; min-width: 0; display: grid; gap: 0.25rem; align-content: start; font-size: 0.875rem; overflow-wrap: anywhere; }
.tile.base { background: var(--own-surface); border-style: dashed; }
.tile.local { --own-accent: var(--own-local); }
.tile.remote { --own-accent: var(--own-remote); }
.tile:has(input[type=radio]:checked) { border-color: var(--own-accent); background: color-mix(in srgb, var(--own-accent) 8%, transparent); box-shadow: 0 0 0 1px var(--own-accent); }
.side { display: flex; flex-wrap: wrap; align-items: center; gap: 0 0.375rem; font-size: 0.8125rem; }
label.side, label.none, .choice, details > summary { min-block-size: 1.5rem; }
label.side, .tile:has(> label.side) { cursor: pointer; }
.tile:has(> label.side):hover { border-color: var(--own-control); }
.tile .side b { font-weight: 600; }
.tile.local .side b { color: var(--own-local); }
.tile.remote .side b { color: var(--own-remote); }
.where { color: var(--own-muted); }
.own { display: grid; gap: 0.375rem; }
label.none { display: flex; align-items: center; gap: 0.375rem; padding: 0; font-size: 0.8125rem; font-style: italic; }

.server + .server { margin-block-start: 1.25rem; }
.server h3 { margin-block-end: 0.5rem; overflow-wrap: anywhere; }
.server tbody th code { display: block; font-weight: 400; }
.due [data-side=Pushed] span { color: var(--own-warn); }
.open [data-side] span { color: var(--own-warn); }
.compare.single thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.compare.single tbody th { width: 35%; font-weight: 400; color: var(--own-muted); }
.compare.single tbody tr:first-child > * { border-block-start: 0; }
.requests { table-layout: auto; }
.requests tbody th { font-weight: 400; width: 40%; }
.requests td { font-variant-numeric: tabular-nums; }
.requests b { font-weight: 600; font-size: 0.75rem; }
.requests .bad [data-side=Status] span { color: var(--own-bad); font-weight: 600; }
.requests + .actions { margin-block-start: 0.75rem; }

dialog {
  border: 1px solid var(--own-line); border-radius: 12px; padding: 1.25rem; inline-size: min(28rem, calc(100vw - 2rem));
  background: var(--own-ground); color: var(--own-text); box-shadow: 0 12px 40px rgb(0 0 0 / 0.25);
}
dialog::backdrop { background: rgb(10 14 20 / 0.45); }
dialog form { display: grid; gap: 0.875rem; }
dialog h2 { overflow-wrap: anywhere; font-size: 1rem; }
dialog p { font-size: 0.9375rem; overflow-wrap: anywhere; }
dialog p + p { margin-block-start: 0.375rem; }
dialog .actions { justify-content: end; }
.choices { display: grid; gap: 0.375rem; }
.choice { display: flex; align-items: center; gap: 0.5rem; cursor: pointer; }

@container (max-width: 44rem) {
  .tiles:has(.own) { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@container (max-width: 36rem) {
  .tiles, .tiles:has(.own) { grid-template-columns: minmax(0, 1fr); }
  .status, [role=tabpanel] { padding-inline: 0.75rem; }
  .message { padding-inline: 0.75rem; }
  .compare thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  [role=tablist] { font-size: 0.875rem; padding: 0 0.375rem; }
  [role=tab] { padding-inline: 0.375rem; }
  .compare:not(.single), .compare:not(.single) tbody { display: block; }
  .compare:not(.single) tr { display: grid; gap: 0.125rem; padding-block: 0.5rem; border-block-start: 1px solid var(--own-line); }
  .compare:not(.single) tbody tr:first-child { border-block-start: 0; padding-block-start: 0; }
  .compare:not(.single) tbody th, .compare:not(.single) tbody td { border: 0; padding: 0; width: auto; }
  .compare:not(.single) td { display: grid; grid-template-columns: 5rem minmax(0, 1fr); gap: 0.5rem; }
  .compare:not(.single) td::before { content: attr(data-side); color: var(--own-muted); font-size: 0.8125rem; }
  .compare.requests tr { grid-template-columns: 1fr 1fr; }
  .compare.requests th { grid-column: 1 / -1; grid-row: 1; }
  .compare.requests td { grid-template-columns: 4rem minmax(0, 1fr); }
}
@media (prefers-reduced-motion: no-preference) {
  [data-state=syncing] .dot { animation: pulse 1.2s ease-in-out infinite; }
  @keyframes pulse { 50% { opacity: 0.35; } }
}
@media (forced-colors: active) {
  .tile:has(input[type=radio]:checked) { outline: 2px solid Highlight; }
  [role=tab][aria-selected=true] { border-block-end-color: Highlight; }
}
`
