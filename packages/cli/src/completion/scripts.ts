/** Completion scripts for shells. Each walks the words of the line down the tree of commands. */
import type { Flag, Node } from "./tree.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function completionScript(shell: Shell, nodes: readonly Node[]): string {
  return { bash, zsh, fish }[shell](nodes);
}

/** For all shells: an option that takes a value, by name, so that the value is not taken for a command. */
function valued(nodes: readonly Node[]): string[] {
  return [
    ...new Set(nodes.flatMap(({ options }) => options.filter(({ takesValue }) => takesValue).flatMap(names))),
  ];
}

const names = (flag: Flag): readonly string[] => flag.names;
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map(
    ({ path, subcommands, options, choices }) => `    ${quoted(path)})
      commands=${quoted(subcommands.map(({ name }) => name).join(" "))}
      options=${quoted(options.flatMap(names).join(" "))}
      choices=${quoted(choices.join(" "))} ;;`,
  );
  return `# Completion of ocelli for bash. In ~/.bashrc: source <(ocelli completion bash)
_ocelli_at() {
  case "$1" in
${cases.join("\n")}
    *) return 1 ;;
  esac
}

_ocelli_value() {
  case "$1 $2" in
${values(nodes, ({ path, name, flag }) => {
  const words = flag.choices.length > 0 ? `-W ${quoted(flag.choices.join(" "))}` : undefined;
  const how = words ?? (flag.value === "file" ? "-f" : flag.value === "folder" ? "-d" : undefined);
  return how === undefined
    ? undefined
    : `    ${quoted(`${path} ${name}`)}) COMPREPLY=($(compgen ${how} -- "$3")) ;;`;
}).join("\n")}
    *) COMPREPLY=() ;;
  esac
}

_ocelli() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local path="" word index skip="" commands options choices
  # --format=mp4 comes as three words.
  if [[ $current == "=" ]]; then current=""
  elif [[ $previous == "=" ]]; then previous="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  _ocelli_at ""
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    if [[ -n $skip ]]; then [[ $word == "=" ]] || skip=""; continue; fi
    case "$word" in
      ${valued(nodes).join("|")}) skip=1; continue ;;
      -*|=) continue ;;
    esac
    if [[ " $commands " == *" $word "* ]]; then
      path="\${path:+$path }$word"
      _ocelli_at "$path"
    fi
  done
  COMPREPLY=()
  if [[ -n $skip ]]; then _ocelli_value "$path" "$previous" "$current"
  elif [[ $current == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n $commands$choices ]]; then COMPREPLY=($(compgen -W "$commands $choices" -- "$current"))
  fi
}
complete -o default -F _ocelli ocelli
`;
}

function zsh(nodes: readonly Node[]): string {
  const described = (name: string, description: string): string =>
    quoted(`${name.replaceAll(":", "\\:")}:${description}`);
  const cases = nodes.map(
    ({ path, subcommands, options, choices }) => `    ${quoted(path)})
      commands=(${subcommands.map(({ name, description }) => described(name, description)).join(" ")})
      options=(${options.flatMap((flag) => flag.names.map((name) => described(name, flag.description))).join(" ")})
      choices=(${choices.map(quoted).join(" ")}) ;;`,
  );
  return `#compdef ocelli
# Completion of ocelli for zsh. In ~/.zshrc, after compinit: source <(ocelli completion zsh)
_ocelli_at() {
  case "$1" in
${cases.join("\n")}
    *) return 1 ;;
  esac
}

_ocelli_value() {
  case "$1 $2" in
${values(nodes, ({ path, name, flag }) => {
  const how =
    flag.choices.length > 0
      ? `compadd -- ${flag.choices.map(quoted).join(" ")}`
      : flag.value === "file"
        ? "_files"
        : flag.value === "folder"
          ? "_files -/"
          : undefined;
  return how === undefined ? undefined : `    ${quoted(`${path} ${name}`)}) ${how} ;;`;
}).join("\n")}
    *) _message 'value' ;;
  esac
}

_ocelli() {
  local route="" word skip="" previous=""
  local -a commands options choices
  _ocelli_at ""
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $skip ]]; then skip=""; continue; fi
    case "$word" in
      ${valued(nodes).join("|")}) skip=1; previous="$word"; continue ;;
      -*) continue ;;
    esac
    if [[ -n \${(M)commands:#$word:*} ]]; then
      route="\${route:+$route }$word"
      _ocelli_at "$route"
    fi
  done
  if [[ -n $skip ]]; then _ocelli_value "$route" "$previous"; return; fi
  if [[ \${words[CURRENT]} == -* ]]; then _describe -o option options; return; fi
  if (( \${#commands} )); then _describe command commands; fi
  if (( \${#choices} )); then compadd -- $choices
  elif (( ! \${#commands} )); then _files
  fi
}
if [[ \${funcstack[1]} == _ocelli ]]; then _ocelli "$@"; else compdef _ocelli ocelli; fi
`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, subcommands, options, choices }) => {
    const here = `-n ${quoted(`__ocelli_at ${quoted(path)}`)}`;
    return [
      ...subcommands.map(
        ({ name, description }) =>
          `complete -c ocelli ${here} -f -a ${quoted(name)} -d ${quoted(description)}`,
      ),
      ...(choices.length > 0 ? [`complete -c ocelli ${here} -f -a ${quoted(choices.join(" "))}`] : []),
      ...options.map((flag) => `complete -c ocelli ${here} ${fishFlag(flag)} -d ${quoted(flag.description)}`),
    ];
  });
  const paths = nodes.map(({ path }) => path).filter((path) => path !== "");
  return `# Completion of ocelli for fish. ocelli completion fish > ~/.config/fish/completions/ocelli.fish
function __ocelli_at
    set -l words (commandline -opc)
    set -l route ""
    set -l skip 0
    for word in $words[2..-1]
        if test $skip -eq 1
            set skip 0
            continue
        end
        if contains -- $word ${valued(nodes).join(" ")}
            set skip 1
            continue
        end
        string match -q -- '-*' $word; and continue
        set -l next (string trim "$route $word")
        contains -- $next ${paths.map(quoted).join(" ")}; and set route $next
    end
    test "$route" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function fishFlag({ names, takesValue, choices, value }: Flag): string {
  const spelled = names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  if (!takesValue) return spelled.join(" ");
  if (choices.length > 0) return `${spelled.join(" ")} -x -a ${quoted(choices.join(" "))}`;
  if (value === "folder") return `${spelled.join(" ")} -x -a '(__fish_complete_directories)'`;
  return `${spelled.join(" ")} ${value === "file" ? "-r" : "-x"}`;
}

function values(
  nodes: readonly Node[],
  line: (one: { path: string; name: string; flag: Flag }) => string | undefined,
): string[] {
  return nodes.flatMap(({ path, options }) =>
    options.flatMap((flag) =>
      flag.names.flatMap((name) => (flag.takesValue ? (line({ path, name, flag }) ?? []) : [])),
    ),
  );
}
