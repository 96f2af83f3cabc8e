"""The trainer's room: shards in, a model out, and for every step the documents behind it. Imports nothing of ours.

cli          the commands of `python -m trainer`
recipe       a TOML recipe as frozen dataclasses, and clear errors
recipes/     recipes to start from
failures     what may end a command in a foreseen way
"""
