"""The slots of the profiles in use."""

from cachetools import Cache, LRUCache

from proxy.identity.tokens.state import ProfileState


class ProfileStates(LRUCache[str, ProfileState]):
    """The states of profiles, by name. The one that was unused longest makes room, if nothing is lost with it."""

    def popitem(self) -> tuple[str, ProfileState]:
        kept = []
        try:
            while True:
                name, slot = super().popitem()
                if slot.expendable:
                    return name, slot
                kept.append((name, slot))
        except KeyError:
            # Whose flight is up, it ends well: the store's lock keeps another one from crossing it.
            return kept.pop(0)
        finally:
            for name, slot in kept:
                self[name] = slot

    def peek(self, name: str) -> ProfileState | None:
        """A slot, without counting it as used."""
        return Cache.__getitem__(self, name) if name in self else None
