"""Languages beside each other: distances between them, and how much text there is of each.

distances    how far languages are from each other, by URIEL
resources    how much text of a language XLM-R was pretrained on
derive       makes the table of distances from lang2vec's own data
"""
