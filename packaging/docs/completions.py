#!/usr/bin/env python3
"""completions.py PROGRAM bash|zsh|fish: completions for a shell, made of the program's own help."""

import sys

import help as texts


def bash(told):
    """No functions of the package bash-completion are needed."""
    lines = [
        "# bash completion for router",
        "_router() {",
        '    local word command="" action="" current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}',
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        "        case $word in",
        f"            {'|'.join(command.name for command in told.commands)}) command=${{command:-$word}} ;;",
    ]
    actions = sorted({action for command in told.commands for action in command.actions()})
    if actions:
        lines.append(f"            {'|'.join(actions)}) action=$word ;;")
    lines += ["        esac", "    done", "    case $previous in"]
    for option in every_option(told):
        names = "|".join(spelled(option))
        if option.words():
            lines.append(f'        {names}) COMPREPLY=($(compgen -W "{" ".join(option.words())}" -- "$current")); return ;;')
        elif option.value == "FILE":
            lines.append(f'        {names}) compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); return ;;')
        elif option.value:
            lines.append(f"        {names}) return ;;")
    lines += ["    esac", "    local offered", "    case $command in"]
    common = option_words(told.options)
    lines.append(f'        "") offered="{" ".join(command.name for command in told.commands)} {common}" ;;')
    for command in told.commands:
        lines.append(f'        {command.name}) offered="{option_words(command.options)} {common}" ;;')
        if command.actions():
            lines[-1] = lines[-1].replace(
                'offered="', f'offered="$([[ -n $action ]] || echo "{" ".join(command.actions())}") '
            )
    with_file = "|".join(command.name for command in told.commands if command.takes_file())
    lines += ["    esac", '    COMPREPLY=($(compgen -W "$offered" -- "$current"))']
    if with_file:
        lines.append(f'    case $command in {with_file}) COMPREPLY+=($(compgen -f -- "$current")) ;; esac')
    lines += ["}", "complete -F _router router"]
    return lines


def zsh(told):
    def arguments(options):
        for option in options:
            value = ""
            if option.words():
                value = f":{option.value}:({' '.join(option.words())})"
            elif option.value:
                value = f":{option.value}:{'_files' if option.value == 'FILE' else ' '}"
            for name in spelled(option):
                yield quoted(f"{name}[{short(option).translate(ZSH_BRACKETS)}]{value}")

    lines = ["#compdef router", "local -a common commands", "common=("]
    lines += [f"    {argument}" for argument in arguments(told.options)]
    lines += [")", "commands=("]
    lines += [f"    {quoted(command.name + ':' + command.summary)}" for command in told.commands]
    lines += [
        ")",
        "local command=${words[(r)(" + "|".join(command.name for command in told.commands) + ")]}",
        "case $command in",
        "    '') _arguments $common '1:command:{_describe command commands}' ;;",
    ]
    for command in told.commands:
        extra = list(arguments(command.options))
        rest = f"'2:action:({' '.join(command.actions())})'" if command.actions() else ""
        rest = "'2:file:_files'" if command.takes_file() else rest
        lines.append(f"    {command.name}) _arguments '1:command:' {rest} $common {' '.join(extra)} ;;")
    return [*lines, "esac"]


def fish(told):
    def complete(option, condition):
        parts = ["complete -c router", condition, f"-l {option.name}"]
        parts += [f"-s {option.short}"] if option.short else []
        if option.words():
            parts.append(f"-x -a {quoted(' '.join(option.words()))}")
        elif option.value:
            parts.append("-r -F" if option.value == "FILE" else "-x")
        return " ".join(part for part in [*parts, f"-d {quoted(short(option))}"] if part)

    names = " ".join(command.name for command in told.commands)
    lines = ["# fish completion for router", "complete -c router -f"]
    lines += [complete(option, "") for option in told.options]
    for command in told.commands:
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        summary = quoted(command.summary)
        lines.append(f"complete -c router -n 'not __fish_seen_subcommand_from {names}' -a {command.name} -d {summary}")
        lines += [f"complete -c router {seen} -a {action}" for action in command.actions()]
        lines += [f"complete -c router {seen} -F"] * command.takes_file()
        lines += [complete(option, seen) for option in command.options]
    return lines


ZSH_BRACKETS = str.maketrans({"[": "(", "]": ")", ":": " "})


def every_option(told):
    """Each option once, those of commands included."""
    options = [*told.options, *(option for command in told.commands for option in command.options)]
    return {option.name: option for option in options}.values()


def spelled(option):
    return [f"-{option.short}"] * bool(option.short) + [f"--{option.name}"]


def option_words(options):
    return " ".join(name for option in options for name in spelled(option))


def short(option):
    """Its first clause: a menu of a shell has one line."""
    return option.text.split(";")[0]


def quoted(text):
    """Single quotes of the shell; the apostrophe as a typographic one, which all shells take."""
    return "'" + text.replace("'", "’") + "'"


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("bash", "zsh", "fish"):
        raise SystemExit(__doc__)
    print("\n".join(globals()[sys.argv[2]](texts.read(sys.argv[1]))))
