"""Data sets: images with a class each, from Omniglot, a folder, a CSV or the built-in generator."""

from samekind.data.folder import BadImage, Loaded, load_csv, load_folder
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.data.source import load
from samekind.data.splits import Leak, Split, find_leaks, split_classes

__all__ = [
    "BadImage",
    "LabelledImages",
    "Leak",
    "Loaded",
    "Split",
    "find_leaks",
    "glyphs",
    "load",
    "load_csv",
    "load_folder",
    "split_classes",
]
