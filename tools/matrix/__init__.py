"""`make matrix`: the tests on every Python that is supported, each from where this machine has it."""
