"""What is read out of a page: fields by a declaration, Markdown and the main text."""
