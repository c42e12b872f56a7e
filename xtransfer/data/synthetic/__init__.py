"""A seeded artificial world: languages of known distance, and data sets in the official formats.

world        a world: its languages, its sizes, and who can speak in it
language     artificial languages; `lexicon`: concepts, each with the English-like language's words
meaning      what can be said, and what follows from what
draws        clauses, pairs, scenes and questions
files        data sets of them, in the formats in which real ones are published
"""

from xtransfer.data.synthetic.files import write_world
from xtransfer.data.synthetic.language import Language, typological_distance
from xtransfer.data.synthetic.world import LANGUAGES, Sizes, World

__all__ = ["LANGUAGES", "Language", "Sizes", "World", "typological_distance", "write_world"]
