"""The commands of run.py, one a file: add_arguments(parser) says what it takes, run(arguments) does it."""
