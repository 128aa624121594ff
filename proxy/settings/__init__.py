"""The settings: declared in `schema`, read from everywhere by `sources`, handed on frozen by `options`.

`environment` and `files` are the only readers of the environment and of settings' files.
"""

from proxy.settings.assemble import refuse_exposed, serve_options
from proxy.settings.environment import bears_colours, bears_control_sequences, debugging
from proxy.settings.files import Mark, mark, shipped_defaults
from proxy.settings.leaf import Leaf, leaves
from proxy.settings.schema import Group, Settings
from proxy.settings.sources import Loaded, load

__all__ = [
    "Group",
    "Leaf",
    "Loaded",
    "Mark",
    "Settings",
    "bears_colours",
    "bears_control_sequences",
    "debugging",
    "leaves",
    "load",
    "mark",
    "refuse_exposed",
    "serve_options",
    "shipped_defaults",
]
