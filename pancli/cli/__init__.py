"""The terminal: one thin file per command; the only place that knows Typer and Rich.

``app`` builds the program, turns a ``PancliError`` into one line and an exit code, and handles signals;
``options`` holds the options that more than one command takes, ``sharpening`` those of all that sharpen;
every other file is one command, which parses, calls one library function and prints.
"""
