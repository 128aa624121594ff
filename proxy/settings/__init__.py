"""The settings: declared in `schema`, read from everywhere by `sources`, handed on frozen by `options`."""

from proxy.settings.options import serve_options
from proxy.settings.schema import PREFIX, Leaf, Settings, leaves
from proxy.settings.sources import Loaded, load

__all__ = ["PREFIX", "Leaf", "Loaded", "Settings", "leaves", "load", "serve_options"]
