"""Scenes with an exact answer: a random ground, seen by a random instrument.

``spectra`` says what materials reflect, ``instruments`` what a pair of cameras does to it, ``textures`` and
``shapes`` draw, ``layouts`` decides what lies where, and ``scenes`` puts them together. The ground is never
held as a cube of wavelengths: materials are projected on the instrument's channels first, and only then
painted, so a scene costs memory for its bands and no more. Arrays in, arrays out; no files.
"""
