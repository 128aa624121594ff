"""The states of the profiles in use."""

from collections import OrderedDict

from proxy.identity.tokens.state import ProfileState


class ProfileStates(OrderedDict[str, ProfileState]):
    """The states of profiles by name, the one that was unused longest first."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def add(self, state: ProfileState) -> ProfileState:
        """Add a state; the one that was unused longest makes room, if possible one with which nothing is lost."""
        if len(self) >= self._capacity:
            # Where a renewal is under way, it ends well: the store's lock keeps another one from crossing it.
            del self[next((name for name, other in self.items() if other.is_expendable), next(iter(self)))]
        self[state.name] = state
        return state
