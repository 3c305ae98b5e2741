"""The command line: a file for each command, which imports what it needs when it runs."""
