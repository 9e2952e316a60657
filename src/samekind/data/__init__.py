"""Data sets: images with a class each. Imports nothing: a decision needs `labelled` and no more.

`source` turns a name or a path into data; `omniglot`, `folder` and `glyphs` are where it comes from; `splits` parts
it by class; `labelled` is what all of them give.
"""
