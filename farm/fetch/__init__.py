"""Pages without a browser: plain HTTP through the slot's proxy, and an HTML parser."""
