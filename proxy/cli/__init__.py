"""The command `ul-proxy`: `command` runs one of the commands, each of which is a module of its name."""
