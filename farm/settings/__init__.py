"""Settings: each option is declared once, and is a flag, an environment variable and a key of `farm.toml`."""
