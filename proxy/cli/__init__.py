"""The command `ul-proxy`: each subcommand is a module of its name.

Begin with `command`, which runs one, and `manual`, which lists them. `arguments` makes the flags from the settings.
"""
