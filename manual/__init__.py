"""The manual pages, made from the texts that the program itself shows: `python -m manual DIR`."""
