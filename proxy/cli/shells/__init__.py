"""Completion scripts for `bash`, `zsh` and `fish`, made from the `words` that argparse knows.

A script holds all words itself: completing starts no Python. Names of profiles are read from the config file by sed.
"""
