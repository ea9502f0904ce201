"""The recipe of the embedded model ``tiny``: its text, its tokenizer and its training. Not part of the package."""
