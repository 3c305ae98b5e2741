"""``python -m everypose`` is the ``everypose`` command."""

from everypose.cli.main import main

if __name__ == "__main__":
    main()
