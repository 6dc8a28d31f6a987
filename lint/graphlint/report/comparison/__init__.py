"""Comparing programs by structure: what their interface is, and which ops lead from it to the results. Pure.

Names of values say nothing: nodes are matched by what they compute from what, and only what is told of them besides
(ops, constants, sizes, order) is compared.
"""
