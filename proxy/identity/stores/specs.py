"""The forms of the setting token_store: the word before the colon names the module of a store, but for auto."""

FORMS = ("auto", "memory", "keyring", "file:PATH")


def fits(spec: str) -> bool:
    """Tell whether a value of token_store has one of the forms."""
    kind, colon, argument = spec.partition(":")
    forms = (form.partition(":") for form in FORMS)
    return any((kind, colon, bool(argument)) == (known, wanted, bool(wanted)) for known, wanted, _ in forms)
