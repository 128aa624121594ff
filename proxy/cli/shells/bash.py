"""Completion for bash, 3.2 (of macOS) and newer."""

from collections.abc import Mapping

from proxy.cli.shells.words import DEFAULT_COMMAND, PROFILES, Takes, Words

_SCRIPT = r"""# bash completion for ul-proxy. Now:        eval "$(ul-proxy completion bash)"
# For good:  ul-proxy completion bash > ~/.local/share/bash-completion/completions/ul-proxy

_ul_proxy_profiles() {
    local file
    for file in "$UL_PROXY_CONFIG" ./ul-proxy.toml "${XDG_CONFIG_HOME:-$HOME/.config}/ul-proxy/config.toml"; do
        if [ -f "$file" ]; then
            sed -n '@PROFILES@' "$file" | sort -u
            return
        fi
    done
}

_ul_proxy() {
    local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}" previous="" command=@DEFAULT@ words=""
    COMPREPLY=()
    [ "$COMP_CWORD" -gt 0 ] && previous="${COMP_WORDS[COMP_CWORD-1]}"
    # Bash takes --flag=value for three words.
    if [ "$current" = "=" ]; then
        current=""
    elif [ "$previous" = "=" ]; then
        previous="${COMP_WORDS[COMP_CWORD-2]}"
    fi
    case "${COMP_WORDS[1]}" in
        @COMMANDS@) [ "$COMP_CWORD" -gt 1 ] && command="${COMP_WORDS[1]}" ;;
    esac
    case "$command $previous" in
@VALUES@
    esac
    case "$command" in
@FLAGS@
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="@NAMES@"$'\n'"$words"
        [ "${current:0:1}" = "-" ] || words="@NAMES@"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}

complete -F _ul_proxy ul-proxy
"""
_FILES = 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return'


def script(commands: Mapping[str, Words]) -> str:
    """The script to source."""
    return (
        _SCRIPT.replace("@PROFILES@", PROFILES)
        .replace("@DEFAULT@", DEFAULT_COMMAND)
        .replace("@COMMANDS@", "|".join(commands))
        .replace("@NAMES@", "\n".join(commands))
        .replace("@VALUES@", "\n".join(line for name, words in commands.items() for line in _values(name, words)))
        .replace("@FLAGS@", "\n".join(_flags(name, words) for name, words in commands.items()))
    )


def _values(command: str, words: Words) -> list[str]:
    """What to do behind each flag that takes something, those alike together."""
    found: dict[str, list[str]] = {}
    for flag in words.flags:
        if flag.takes is not Takes.NOTHING:
            if flag.takes is Takes.CHOICE:
                action = _among("\n".join(flag.choices))
            elif flag.takes is Takes.PROFILE:
                action = _among("$(_ul_proxy_profiles)")
            else:
                action = _FILES if flag.takes is Takes.FILE else "return"
            found.setdefault(action, []).append(f'"{command} {flag.spelling}"')
    return [f"        {' | '.join(patterns)})\n            {action} ;;" for action, patterns in found.items()]


def _among(words: str) -> str:
    return f'COMPREPLY=($(compgen -W "{words}" -- "$current")); return'


def _flags(command: str, words: Words) -> str:
    known = "\n".join([*words.positional, *(flag.spelling for flag in words.flags)])
    return f'        {command}) words="{known}" ;;'
