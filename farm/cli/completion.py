"""`farm completion`: a script that completes commands, flags and their values in a shell.

The scripts contain everything from the declarations of the options, and start no program.
"""

from collections.abc import Callable, Iterator, Sequence

from farm.cli.main import COMMANDS
from farm.model.errors import UsageError
from farm.settings.origin import did_you_mean
from farm.settings.reference import WORDS, OptionText, operand_of, options_of

_FOLDERS, _FILES = frozenset({"DIR", "FOLDER"}), frozenset({"FILE"})
_OPERANDS = frozenset({"[DIR] [URL]", "FILE [URL]", "SOURCE", "FOLDER"})
"""What a command takes besides options, where that is a file or a folder."""
USAGE = """usage: farm completion bash|zsh|fish

Print a script that completes commands, flags and their values. Make the folder first where there is none.

  bash: farm completion bash > ~/.local/share/bash-completion/completions/farm
  zsh:  farm completion zsh > ~/.zfunc/_farm        (in ~/.zshrc: fpath+=~/.zfunc; autoload -U compinit; compinit)
  fish: farm completion fish > ~/.config/fish/completions/farm.fish"""


def main(arguments: Sequence[str]) -> int:
    """Print the script of a shell."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(USAGE)
        return 0
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        given = arguments[0] if arguments[0] not in SHELLS else arguments[1]
        raise UsageError(
            f"`farm completion` takes one of {', '.join(SHELLS)}{did_you_mean(given, SHELLS)}, not {given!r}."
        )
    print("\n".join(SHELLS[arguments[0]]()))
    return 0


def _bash() -> Iterator[str]:
    yield "# Completion of farm for bash; made by `farm completion bash`."
    yield "_farm() {"
    yield "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flag='' words=''"
    yield "  COMPREPLY=()"
    yield "  if (( COMP_CWORD == 1 )); then"
    yield f"    COMPREPLY=($(compgen -W '{' '.join((*COMMANDS, 'help'))}' -- \"$current\"))"
    yield "    return"
    yield "  fi"
    # A `=` is a word of its own where bash breaks words at it.
    yield "  if [[ $current == = ]]; then flag=$before current=''"
    yield "  elif [[ $before == = ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}"
    yield "  else flag=$before; fi"
    yield "  case ${COMP_WORDS[1]} in"
    for command in COMMANDS:
        options = options_of(command)
        yield f"    {command})"
        yield "      case $flag in"
        for option in options:
            if option.metavar:
                yield f"        {'|'.join(option.flags)}) {_bash_values(option)} return ;;"
        yield "      esac"
        words = " ".join(flag for option in options for flag in option.flags)
        yield f"      words='{words}'"
        if command in WORDS:
            yield f"      (( COMP_CWORD == 2 )) && words='{' '.join(WORDS[command])}'"
        files = f"[[ $current != -* ]] && {_bash_paths('-f')}; " if operand_of(command) in _OPERANDS else ""
        yield f'      COMPREPLY=($(compgen -W "$words" -- "$current")); {files};;'
    yield f"    help) COMPREPLY=($(compgen -W '{' '.join(COMMANDS)}' -- \"$current\")) ;;"
    yield "  esac"
    yield "}"
    yield "complete -o bashdefault -F _farm farm"


def _bash_values(option: OptionText) -> str:
    if option.choices:
        return f"COMPREPLY=($(compgen -W '{' '.join(option.choices)}' -- \"$current\"));"
    if option.metavar in _FOLDERS:
        return f"{_bash_paths('-d')};"
    return f"{_bash_paths('-f')};" if option.metavar in _FILES else ""


def _bash_paths(kind: str) -> str:
    """Complete names of files, with spaces in them too; bash is told, so that it adds the slash of a folder."""
    begun = "local IFS=$'\\n'; compopt -o filenames 2> /dev/null"
    return f'{{ {begun}; COMPREPLY=($(compgen {kind} -- "$current")); }}'


def _zsh() -> Iterator[str]:
    yield "#compdef farm"
    yield "# Completion of farm for zsh; made by `farm completion zsh`."
    yield "_farm() {"
    yield "  local -a commands=("
    yield from (f"    {_quoted(f'{_colons(name)}:{_plain(text)}')}" for name, text in COMMANDS.items())
    yield "  )"
    yield "  if (( CURRENT == 2 )); then _describe command commands; return; fi"
    yield "  local command=$words[2]"
    yield "  shift words; (( CURRENT-- ))"
    yield "  case $command in"
    for command in COMMANDS:
        yield f"    {command}) _arguments -S \\"
        for option in options_of(command):
            yield from (f"      {_quoted(spec)} \\" for spec in _zsh_specs(option))
        first = f"1:word:({' '.join(WORDS[command])})" if command in WORDS else "*:argument:_files"
        yield f"      {_quoted(first)} ;;"
    yield "    help) _describe command commands ;;"
    yield "  esac"
    yield "}"
    yield '_farm "$@"'


def _zsh_specs(option: OptionText) -> Iterator[str]:
    text = _plain(option.text).replace("[", "(").replace("]", ")").replace(":", "\\:")
    for flag in option.flags:
        if not option.metavar:
            yield f"{flag}[{text}]"
            continue
        values = f"({' '.join(option.choices)})" if option.choices else ""
        values = values or ("_files -/" if option.metavar in _FOLDERS else "")
        values = values or ("_files" if option.metavar in _FILES else "")
        mark = "=" if flag.startswith("--") else "+"
        yield f"{flag}{mark}[{text}]:{_colons(_plain(option.metavar)) if not option.choices else 'value'}:{values}"


def _fish() -> Iterator[str]:
    yield "# Completion of farm for fish; made by `farm completion fish`."
    yield "complete -c farm -f"
    for name, text in COMMANDS.items():
        yield f"complete -c farm -n __fish_use_subcommand -a {name} -d {_fish_quoted(_plain(text))}"
    for command in COMMANDS:
        seen = f"complete -c farm -n '__fish_seen_subcommand_from {command}'"
        if command in WORDS:
            yield f"{seen} -a '{' '.join(WORDS[command])}'"
        if operand_of(command) in _OPERANDS:
            yield f"{seen} -F"
        for option in options_of(command):
            for flag in option.flags:
                name = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                yield f"{seen} {name}{_fish_values(option)} -d {_fish_quoted(_plain(option.text))}"


def _fish_values(option: OptionText) -> str:
    if option.choices:
        return f" -x -a '{' '.join(option.choices)}'"
    if option.metavar in _FOLDERS:
        return " -x -a '(__fish_complete_directories)'"
    if option.metavar in _FILES:
        return " -r -F"
    return " -x" if option.metavar else ""


def _plain(text: str) -> str:
    return text.replace("`", "").replace("\n", " ")


def _colons(text: str) -> str:
    return text.replace(":", "\\:")


def _quoted(text: str) -> str:
    """Quote for zsh, in which a backslash does not escape a quote."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    """Quote for fish, in which a backslash escapes a quote."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
