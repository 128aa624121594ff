"""Completion scripts, one module a shell. Each is made from `words`, which is what argparse knows of the commands.

The scripts are whole: pressing TAB starts no Python. Names of profiles are read from the config file by `sed`.
"""
