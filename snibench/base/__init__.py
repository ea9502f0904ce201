"""Values, errors and the registry: what every room stands on."""
