"""Completion for zsh."""

from collections.abc import Mapping

from proxy.cli.shells.words import DEFAULT_COMMAND, PROFILES, Flag, Takes, Words

_SCRIPT = r"""#compdef ul-proxy
# zsh completion for ul-proxy. Now (after compinit):  source <(ul-proxy completion zsh)
# For good:  ul-proxy completion zsh > ~/.zfunc/_ul-proxy, where fpath has ~/.zfunc before compinit

_ul_proxy_profiles() {
    local file
    for file in "$UL_PROXY_CONFIG" ./ul-proxy.toml "${XDG_CONFIG_HOME:-$HOME/.config}/ul-proxy/config.toml"; do
        if [[ -f $file ]]; then
            compadd -- ${(f)"$(sed -n '@PROFILES@' $file)"}
            return
        fi
    done
}

_ul_proxy() {
    local command=@DEFAULT@
    local -a commands
    commands=(
@COMMANDS@
    )
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _describe -t commands command commands
        return
    fi
    if [[ $words[2] != -* ]]; then
        command=$words[2]
        shift words
        (( CURRENT-- ))
    fi
    case $command in
@FLAGS@
    esac
}

if [[ $funcstack[1] == _ul_proxy || $funcstack[1] == _ul-proxy ]]; then
    _ul_proxy "$@"
else
    compdef _ul_proxy ul-proxy
fi
"""


def script(commands: Mapping[str, Words]) -> str:
    """The script to source, or to keep in a folder of fpath."""
    named = [f"        {_quoted(f'{name}:{words.summary}')}" for name, words in commands.items()]
    return (
        _SCRIPT.replace("@PROFILES@", PROFILES)
        .replace("@DEFAULT@", DEFAULT_COMMAND)
        .replace("@COMMANDS@", "\n".join(named))
        .replace("@FLAGS@", "\n".join(_flags(name, words) for name, words in commands.items()))
    )


def _flags(command: str, words: Words) -> str:
    specs = [_spec(flag) for flag in words.flags]
    if words.positional:
        specs.append(f":what:({' '.join(words.positional)})")
    lines = " \\\n".join(f"                {_quoted(spec)}" for spec in specs)
    return f"        {command})\n            _arguments \\\n{lines} ;;"


def _spec(flag: Flag) -> str:
    """What `_arguments` is told of a flag: `--flag=[help]:what:action`."""
    again = "*" if flag.again else ""
    text = _escaped(flag.help, "[]:")
    if flag.takes is Takes.NOTHING:
        return f"{again}{flag.spelling}[{text}]"
    if flag.takes is Takes.CHOICE:
        action = f"({' '.join(flag.choices)})"
    else:
        action = {Takes.FILE: "_files", Takes.PROFILE: "_ul_proxy_profiles"}.get(flag.takes, " ")
    return f"{again}{flag.spelling}=[{text}]:{_escaped(flag.called, ':')}:{action}"


def _escaped(text: str, special: str) -> str:
    return "".join(f"\\{letter}" if letter in special + "\\" else letter for letter in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
