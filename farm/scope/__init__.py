"""What may be crawled: canonical URLs, the rules of the scope, and the seeds it starts from."""
