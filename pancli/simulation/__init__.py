"""Scenes with an exact answer: a random ground, seen by a random instrument.

``spectra`` says what materials reflect, ``instruments`` what two cameras are like, after real ones'
``responses``, ``palette`` what the one looks like to the other. ``shapes`` and ``textures`` draw ``strokes``;
``land``, ``plants``, ``built`` and ``leaves`` put things onto a ``site``; ``ground`` decides what lies where;
``canvas``, ``touches`` and ``painting`` paint it all at once; ``scenes`` lets the cameras look. The ground
is never held as a cube of wavelengths: materials are projected on the instrument's channels first, and only
then painted, so a scene costs memory for its bands and no more. Arrays in, arrays out; no files.
"""
