// What a page of Markdown refers to: headings, links, files of ours.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Page, pageNamed, root } from './readme.js'

const withoutCode = (text: string) =>
  text.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, code => code.replaceAll(/[[\]()]/g, ''))

/** As GitHub names the headings of a page. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, title] of text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)) {
    const anchor = title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    let name = anchor
    for (let i = 1; anchors.has(name); i++) name = `${anchor}-${i}`
    anchors.add(name)
  }
  return anchors
}

/** The relative links of a page that lead nowhere. */
export function deadLinks({ name, text }: Page): string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
  return links.filter(link => {
    if (/^(https?|mailto):/.test(link)) return false
    const [path, anchor] = link.split('#') as [string, string | undefined]
    const target = path ? join(dirname(name), path) : name
    if (path && !existsSync(join(root, target))) return true
    return anchor !== undefined && !(target.endsWith('.md') && anchorsOf(path ? pageNamed(target).text : text).has(anchor))
  })
}

/** `src/a.ts, b.ts` names two files of one folder. */
const FILES =
  /(?<![\w/.-])((?:src|inspector|server|server-koa|spec|examples|bench)\/(?:[\w-]+\/)*)((?:[\w-]+\.)+(?:ts|js|mjs)(?:, (?:[\w-]+\.)+ts)*)\b/g

/** The paths of sources and specs that a page names. */
export const filesNamedIn = (text: string): string[] =>
  [...text.matchAll(FILES)].flatMap(([, folder, files]) => files!.split(', ').map(file => `${folder}${file}`))
