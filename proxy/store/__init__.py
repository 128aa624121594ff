"""Where sessions are between runs, so that a refresh token outlives the process that was given it.

`records` is what is kept and whose it is; `memory`, `file` and `keyring` are the places; `opening` chooses one.
"""

from proxy.store.base import Store
from proxy.store.file import FileStore
from proxy.store.keyring import KeyringStore
from proxy.store.memory import MemoryStore
from proxy.store.opening import ProfileStores, open_store

__all__ = ["FileStore", "KeyringStore", "MemoryStore", "ProfileStores", "Store", "open_store"]
