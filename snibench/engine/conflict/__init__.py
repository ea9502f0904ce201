"""Gradient conflict between tasks: its measurement and its estimates."""
