"""Base models: found, identified, and the embedded one."""
