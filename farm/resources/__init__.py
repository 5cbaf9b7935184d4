"""What the machine has and the farm's processes use: memory, processor, files. The only importer of psutil."""
