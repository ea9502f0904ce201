"""Leaderboard files: schema, export, validation."""
