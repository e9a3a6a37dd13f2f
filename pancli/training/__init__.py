"""A recipe in, weights out: a plain supervised loop that can be killed and resumed at any step.

``recipe`` reads the TOML file; ``sources`` holds images with a known truth; ``patches`` observes them through
random sensors; ``validation`` measures methods on held-back scenes; ``checkpoint`` saves and restores;
``loop`` is the run itself. What a step trains on follows from the recipe's seed and the step's number
alone, so a run resumed is the run uninterrupted, bit for bit on the CPU.
"""
