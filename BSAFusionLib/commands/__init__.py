"""The commands of run.py, one per file, with add_arguments(parser) and run(arguments)."""
