"""Languages beside each other: distances between them, and how much text there is of each."""
