"""One fit from its spec to its stored answers, and many fits one after the other."""
