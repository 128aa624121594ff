"""Completion for fish, 3.0 and newer."""

from collections.abc import Mapping

from proxy.cli.shells.words import DEFAULT_COMMAND, PROFILES, Flag, Takes, Words

_SCRIPT = r"""# fish completion for ul-proxy. Now:  ul-proxy completion fish | source
# For good:  ul-proxy completion fish > ~/.config/fish/completions/ul-proxy.fish

function __ul_proxy_profiles
    set -l home $XDG_CONFIG_HOME
    test -n "$home"; or set home $HOME/.config
    for file in $UL_PROXY_CONFIG ./ul-proxy.toml $home/ul-proxy/config.toml
        if test -f $file
            sed -n '@PROFILES@' $file
            return
        end
    end
end

function __ul_proxy_runs
    set -l words (commandline -opc)
    set -e words[1]
    if test (count $words) -eq 0; or string match -q -- '-*' $words[1]
        test $argv[1] = @DEFAULT@
    else
        test $argv[1] = $words[1]
    end
end

function __ul_proxy_has_no_command
    test (count (commandline -opc)) -eq 1
end

complete -c ul-proxy -e
complete -c ul-proxy -f
@COMPLETIONS@
"""


def script(commands: Mapping[str, Words]) -> str:
    """The script to source, or to keep among fish's completions."""
    lines = [
        f"complete -c ul-proxy -n __ul_proxy_has_no_command -a {name} -d {_quoted(words.summary)}"
        for name, words in commands.items()
    ]
    for name, words in commands.items():
        runs = f"complete -c ul-proxy -n '__ul_proxy_runs {name}'"
        lines += [f"{runs} {_spec(flag)}" for flag in words.flags]
        if words.positional:
            lines.append(f"{runs} -a {_quoted(' '.join(words.positional))}")
    return (
        _SCRIPT.replace("@PROFILES@", PROFILES.replace("\\", "\\\\"))
        .replace("@DEFAULT@", DEFAULT_COMMAND)
        .replace("@COMPLETIONS@", "\n".join(lines))
    )


def _spec(flag: Flag) -> str:
    values = {
        Takes.NOTHING: "",
        Takes.CHOICE: f" -x -a {_quoted(' '.join(flag.choices))}",
        Takes.FILE: " -r -F",
        Takes.PROFILE: " -x -a '(__ul_proxy_profiles)'",
        Takes.TEXT: " -x",
    }
    return f"-l {flag.spelling.removeprefix('--')}{values[flag.takes]} -d {_quoted(flag.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
