// What a page asks by `curl`, asked by fetch.

/** `variables` are those of the shell. */
export async function curl(command: string, variables: Readonly<Record<string, string>> = {}): Promise<{ status: number; text: string }> {
  const words = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, exact, quoted, bare]) => exact ?? (quoted ?? bare!).replace(/\$(\w+)/g, (_, name) => variables[name] ?? ''),
  )
  const after = (flag: string) => words.flatMap((word, i) => (words[i - 1] === flag ? word : []))
  const [body] = after('-d')
  const response = await fetch(words.at(-1)!, {
    headers: after('-H').map((header): [string, string] => header.split(/:\s*/) as [string, string]),
    ...(body !== undefined && { method: 'POST', body }),
  })
  return { status: response.status, text: await response.text() }
}

/** The curl commands of a script, each with the variable that takes its answer, and what is said of variables otherwise. */
export function commandsIn(script: string): { readonly variable?: string; readonly command?: string; readonly value?: string }[] {
  const lines = script.match(/(?:'[^']*'|[^'\n])+/g) ?? []
  return lines.flatMap(line => {
    const [, variable, command] = /^(?:(\w+)=\$\()?(curl [\s\S]*?)\)?$/.exec(line) ?? []
    if (command) return { command, ...(variable && { variable }) }
    const [, name, value] = /^(\w+)="(.*)"$/.exec(line) ?? []
    return name ? { variable: name, value } : []
  })
}
