"""TorchJD's aggregators as rules of snibench. Nothing is imported here: `snibench ls` must stay quick."""
