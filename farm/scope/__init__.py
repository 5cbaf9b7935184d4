"""What may be crawled."""
