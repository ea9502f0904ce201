"""A method and a format for snibench. Nothing is imported here: `snibench ls` must stay quick."""
