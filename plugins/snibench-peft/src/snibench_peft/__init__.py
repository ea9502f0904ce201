"""Adapters of peft as methods of snibench. Nothing is imported here: `snibench ls` must stay quick."""
