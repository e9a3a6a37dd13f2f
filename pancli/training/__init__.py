"""A recipe in, weights out: stage after stage, each of which can be killed and resumed at any step.

``recipe`` is the run as values and ``reading`` makes them of a TOML file. ``sources`` reads images with a
known truth and ``images`` says how their parts lie on each other; ``regions`` observes them through random
sensors, ``patches`` cuts what a network is given and ``sampling`` says which of them a step sees. ``losses``,
``teachers``, ``objectives`` and ``stages`` are what is learnt; ``steps`` and ``loop`` do it to a ``run``, on
one process or several (``ranks``), from given weights where there are any (``initial``); ``checkpoint`` saves
and restores, ``validation`` measures on held-back scenes, ``standstill`` watches that, and ``export`` and
``notes`` write down what comes of it.

What a step trains on follows from the recipe's seed and the step's number alone, so a run resumed is the run
uninterrupted, bit for bit on the CPU.

Plain torch, without a training framework: autocast is one line and several processes are one small file, and
a framework would own the loop that has to be resumed exactly. A teacher is measured on
the validation images, but not chosen by it, since it is shown their truth: its last weights teach.
"""
