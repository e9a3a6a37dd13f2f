"""Tensors in, numbers out: each metric is a set of sums that add up over windows of a scene."""
