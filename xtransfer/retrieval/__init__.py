"""Search among sentence vectors: exact neighbours, margins, mining, ranking."""
