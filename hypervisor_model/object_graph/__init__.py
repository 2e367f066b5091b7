# SPDX-License-Identifier: GPL-2.0-only
"""The object graph of a model as rows of text and bytes, and back: what a checkpoint holds.

A row has the objects of one kind, up to BATCH of them, each with a number that others refer to it by. Instances of
this package's classes are kept attribute by attribute, a column for each. Nothing is ever executed to read one
back: kinds are builtins or classes of this package, made by `__new__` and filled; constants, functions and methods
of this package are kept by name. Neither direction recurses along references, so lists of any length will do.

Left out  identity of tuples and of numbers and text; whatever is not plain data (generators, lambdas, open files)
          is refused with the attribute that holds it.
"""
