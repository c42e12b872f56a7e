"""A seeded artificial world: languages of known distance, and data sets in the official formats."""

from xtransfer.data.synthetic.files import write_world
from xtransfer.data.synthetic.language import Language, typological_distance
from xtransfer.data.synthetic.world import LANGUAGES, Sizes, World

__all__ = ["LANGUAGES", "Language", "Sizes", "World", "typological_distance", "write_world"]
