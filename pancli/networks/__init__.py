"""Torch modules, one file each: tensors in, tensors out. They know no scene, no tile and no file format.

``registry`` is the one table of names; ``weights`` reads and writes safetensors files with their card.
``methods.network`` makes any of them a Method.
"""
