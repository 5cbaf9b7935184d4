"""`python -m farm`: the same as `farm`."""

from farm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
