"""The families of networks that starts are compared on."""

from families import fields, graphs, sequences, vision
from families._family import FAMILIES as FAMILIES
from families._family import Family as Family
from families._family import Task as Task

__all__ = ["FAMILIES", "Family", "Task", "fields", "graphs", "sequences", "vision"]
