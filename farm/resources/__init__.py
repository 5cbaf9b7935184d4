"""The machine's memory, processor, processes and files. The only package that imports psutil."""
