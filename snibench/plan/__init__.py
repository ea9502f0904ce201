"""From a request to the fits it needs and the questions each must answer. No torch."""
